// What heartbeats say: the last one whole, and figures over time.

import { html, useMemo } from "../../vendor/preact.js";
import { bytes, number } from "../../core/format.js";
import { translator } from "../../core/words.js";
import { Chart } from "../../parts/chart.js";
import { Empty, Section, Shown } from "../../parts/common.js";

/** @typedef {{at: string, firmwareVersion: string | null, battery: number | null, freeHeap: number | null, rssi: number | null}} Heartbeat */
/** @typedef {{intervalSeconds: number, items: Heartbeat[]}} History */

const t = translator("gateway/vitals");

/** @type {{name: "freeHeap" | "rssi" | "battery", label: () => string, unit?: string, color: string, format: (value: number) => string, range?: [number | null, number | null]}[]} */
const FIGURES = [
  { name: "freeHeap", label: () => t("freeHeap"), color: "--chart-1", format: bytes, range: [0, null] },
  { name: "rssi", label: () => t("rssi"), unit: "dBm", color: "--chart-2", format: number },
  { name: "battery", label: () => t("battery"), unit: "%", color: "--chart-3", format: number, range: [0, 100] },
];

/** Where heartbeats are missing the lines break. @param {History} history */
function broken({ intervalSeconds, items }) {
  /** @type {(Heartbeat | null)[]} */
  const points = [];
  /** @type {number[]} */
  const times = [];
  for (const item of items) {
    const at = Date.parse(item.at) / 1000;
    const before = times.at(-1);
    if (before !== undefined && at - before > 2 * intervalSeconds) {
      times.push(before + intervalSeconds);
      points.push(null);
    }
    times.push(at);
    points.push(item);
  }
  return { times, points };
}

/** @param {{history: History}} props */
function Charts({ history }) {
  const { times, points } = useMemo(() => broken(history), [history]);
  const shown = FIGURES.filter(({ name }) => history.items.some((item) => typeof item[name] === "number"));
  if (shown.length === 0) {
    return html`<${Empty}>${t("none")}<//>`;
  }
  return html`<div class="charts">
    ${shown.map(({ name, label: labelled, unit, color, format, range }) => {
      const label = labelled();
      const series = [{ name: label, unit, color, values: points.map((point) => point?.[name] ?? null) }];
      return html`<${Chart} key=${name} label=${label} series=${series} times=${times} format=${format} range=${range} height=${140} />`;
    })}
  </div>`;
}

/** @param {{history: import("../../parts/load.js").Loaded<History>}} props */
export function Heartbeats({ history }) {
  return html`<${Section} title=${t("charts")} id="heartbeats">
    <${Shown} of=${history}>${(/** @type {History} */ data) => html`<${Charts} history=${data} />`}<//>
  <//>`;
}

/** @param {string} name @param {unknown} value */
function said(name, value) {
  const figure = FIGURES.find((each) => each.name === name);
  if (figure && typeof value === "number") {
    return `${figure.format(value)}${figure.unit ? ` ${figure.unit}` : ""}`;
  }
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** @param {{attributes: Record<string, unknown>}} props */
export function Attributes({ attributes }) {
  const all = Object.entries(attributes);
  return html`<${Section} title=${t("attributes")} id="attributes">
    ${all.length === 0
      ? html`<${Empty}>${t("noAttributes")}<//>`
      : html`<table class="attributes">
          <thead><tr><th scope="col">${t("name")}</th><th scope="col">${t("value")}</th></tr></thead>
          <tbody>
            ${all.map(([name, value]) => html`<tr key=${name}><th scope="row"><code>${name}</code></th><td>${said(name, value)}</td></tr>`)}
          </tbody>
        </table>`}
  <//>`;
}
