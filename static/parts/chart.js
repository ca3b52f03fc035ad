// Lines over time, drawn by uPlot in the page's colours.

import { html, useEffect, useRef, useState } from "../vendor/preact.js";
import { number, time } from "../core/format.js";
import { language, translator } from "../core/words.js";

const t = translator("chart");

/** @typedef {{name: string, values: (number | null)[], unit?: string, color: string}} Series */
/**
 * @typedef {object} ChartProps
 * @property {string} label
 * @property {Series[]} series `color` is a custom property's name, like `--chart-1`
 * @property {number[]} times Unix seconds, ascending
 * @property {(value: number) => string} [format]
 * @property {number} [height] pixels
 * @property {[number | null, number | null]} [range] the lowest and highest that is always in view
 */

/** Lines are told apart by colour and by these. */
const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3]];
/** Longer lines are drawn without a mark at each figure. */
const POINTS_SHOWN = 60;
const DAY_SECONDS = 86_400;
/** @type {Intl.DateTimeFormatOptions} */
const DATE = { day: "numeric", month: "short" };
/** @type {Intl.DateTimeFormatOptions} */
const CLOCK = { hour: "2-digit", minute: "2-digit" };

/** The colour that a custom property has now. @param {Element} within @param {string} name */
function colour(within, name) {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  within.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

/** Counts changes of the colours: canvases do not follow them by themselves. */
function useColours() {
  const [changes, setChanges] = useState(0);
  useEffect(() => {
    const changed = () => setChanges((count) => count + 1);
    const system = matchMedia("(prefers-color-scheme: dark)");
    const chosen = new MutationObserver(changed);
    system.addEventListener("change", changed);
    chosen.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    return () => {
      system.removeEventListener("change", changed);
      chosen.disconnect();
    };
  }, []);
  return changes;
}

/** @param {number} seconds @param {Intl.DateTimeFormatOptions} [options] */
const at = (seconds, options) => time(new Date(seconds * 1000).toISOString(), options);

/** @param {number[]} splits @param {number} step seconds between them */
function timeLabels(splits, step) {
  return splits.map((split) => {
    const date = new Date(split * 1000);
    const midnight = date.getHours() === 0 && date.getMinutes() === 0;
    return at(split, step >= DAY_SECONDS || midnight ? DATE : CLOCK);
  });
}

/** Figures that no line leads to. @param {ArrayLike<number | null | undefined>} values */
const alone = (values) =>
  Array.from(values, (value, index) => (value == null || values[index - 1] != null || values[index + 1] != null ? -1 : index)).filter(
    (index) => index >= 0,
  );

/**
 * @param {Element} box
 * @param {{current: ChartProps}} props
 * @param {(index: number | null) => void} onPoint
 * @returns {import("uplot").Options}
 */
function options(box, props, onPoint) {
  const { series, height = 180, range } = props.current;
  const quiet = colour(box, "--quiet");
  const grid = { stroke: colour(box, "--edge"), width: 1 };
  const axis = { stroke: quiet, grid, ticks: grid, font: "12px system-ui, sans-serif" };
  /** @param {number} value */
  const label = (value) => (props.current.format ?? number)(value);
  return {
    width: box.clientWidth,
    height,
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false } },
    scales: {
      x: { range: ({ data: [[only, ...more]] }, from, to) => (more.length === 0 ? [only - 3600, only + 3600] : [from, to]) },
      y: { range: (_, low, high) => padded(low, high, range) },
    },
    axes: [
      { ...axis, space: 80, values: (_, splits, __, ___, step) => timeLabels(splits, step) },
      { ...axis, size: 64, values: (_, splits) => splits.map(label) },
    ],
    series: [
      {},
      ...series.map((each, index) => ({
        stroke: colour(box, each.color),
        dash: DASHES[index % DASHES.length],
        width: 2,
        points: {
          show: (/** @type {import("uplot")} */ plot) => plot.data[0].length <= POINTS_SHOWN,
          filter: (/** @type {import("uplot")} */ plot, /** @type {number} */ at, /** @type {boolean} */ shown) =>
            shown ? null : alone(plot.data[at]),
        },
      })),
    ],
    hooks: { setCursor: [(plot) => onPoint(plot.cursor.idx ?? null)] },
  };
}

/**
 * @param {number | null} low
 * @param {number | null} high
 * @param {[number | null, number | null]} [range]
 * @returns {[number, number]}
 */
function padded(low, high, [least, most] = [null, null]) {
  const from = Math.min(low ?? least ?? 0, least ?? Infinity);
  const to = Math.max(high ?? most ?? 1, most ?? -Infinity);
  const margin = (to - from || Math.abs(to) || 1) * 0.06;
  return [from === least ? from : from - margin, to === most ? to : to + margin];
}

/** @param {ChartProps} props */
const data = ({ times, series }) =>
  /** @type {import("uplot").AlignedData} */ ([times, ...series.map(({ values }) => values)]);

/** @param {ChartProps} props @param {{current: HTMLElement | null}} box @param {(index: number | null) => void} onPoint */
function usePlot(props, box, onPoint) {
  const latest = useRef(props);
  latest.current = props;
  const plot = useRef(/** @type {import("uplot") | null} */ (null));
  const { series, times, height, range } = props;
  const looks = [useColours(), language(), height, JSON.stringify(range), series.map(({ color }) => color).join()];
  useEffect(() => {
    const element = box.current;
    if (!element) {
      return;
    }
    let gone = false;
    const resized = new ResizeObserver(() => {
      plot.current?.setSize({ width: element.clientWidth, height: latest.current.height ?? 180 });
    });
    import("../vendor/uplot.js").then(({ default: UPlot }) => {
      if (!gone) {
        plot.current = new UPlot(options(element, latest, onPoint), data(latest.current), element);
        resized.observe(element);
      }
    });
    return () => {
      gone = true;
      resized.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [...looks, times.length === 0]);
  useEffect(() => plot.current?.setData(data(latest.current)), [times, series]);
}

/** @param {{of: Series, times: number[], say: (value: number | null | undefined) => string}} props */
function Summary({ of: { name, values }, times, say }) {
  const known = values.filter((value) => value !== null);
  if (known.length === 0) {
    return null;
  }
  const extent = { begin: at(times[0]), end: at(times[times.length - 1]) };
  const lowest = known.reduce((one, other) => Math.min(one, other));
  const highest = known.reduce((one, other) => Math.max(one, other));
  const figures = { last: say(known.at(-1)), lowest: say(lowest), highest: say(highest) };
  return html`<span>${t("summary", { name, ...extent, ...figures })}</span>`;
}

/** @param {ChartProps} props */
export function Chart(props) {
  const { label, series, times, format = number } = props;
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const [point, setPoint] = useState(/** @type {number | null} */ (null));
  usePlot(props, box, setPoint);
  if (times.length === 0) {
    return html`<p class="empty">${t("nothing")}</p>`;
  }
  const shown = point !== null && point < times.length ? point : times.length - 1;
  /** @param {Series} of @param {number | null | undefined} value */
  const say = (of, value) =>
    value === null || value === undefined ? "–" : `${format(value)}${of.unit ? ` ${of.unit}` : ""}`;
  return html`<figure class="chart" aria-label=${label}>
    <figcaption class="chart-legend" aria-hidden="true">
      <span class="quiet">${at(times[shown], { dateStyle: "medium", timeStyle: "short" })}</span>
      ${series.map(
        (each, index) => html`<span key=${each.name}>
          <i class="chart-line" data-dash=${index % DASHES.length} style=${{ borderColor: `var(${each.color})` }}></i>
          ${" "}${each.name} <b>${say(each, each.values[shown])}</b>
        </span>`,
      )}
    </figcaption>
    <div class="chart-plot" aria-hidden="true" ref=${box}></div>
    <p class="unseen">
      ${series.map((each) => html`<${Summary} key=${each.name} of=${each} times=${times} say=${(/** @type {any} */ value) => say(each, value)} />`)}
    </p>
  </figure>`;
}
