// A table of any length: rows of one height, of which only those in view exist.

import { html, useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "../../vendor/preact.js";
import { ago, number, time } from "../../core/format.js";
import { go, link } from "../../core/router.js";
import { language, translator } from "../../core/words.js";
import { Status } from "../../parts/common.js";
import { useEvents, useThrottled } from "../../parts/load.js";
import { Pages } from "./pages.js";

const t = translator("gateways/table");

const COLUMNS = /** @type {const} */ (["gatewayId", "status", "version", "latest", "deviceType", "tags", "lastSeen"]);

/** Browsers can't scroll further than some 17 million pixels; a longer table scrolls in larger steps. */
const HEIGHT_MAX = 15_000_000;
const REFRESH_PAUSE_MS = 3000;
/** Rows above and below those in view, for the time until the next are drawn. */
const SPARE_ROWS = 8;

/** @param {string} query */
function useMedia(query) {
  const [matches, setMatches] = useState(() => matchMedia(query).matches);
  useEffect(() => {
    const media = matchMedia(query);
    const changed = () => setMatches(media.matches);
    media.addEventListener("change", changed);
    return () => media.removeEventListener("change", changed);
  }, [query]);
  return matches;
}

/** Pixels; the styles have them from here. */
function useSizes() {
  const narrow = useMedia("(max-width: 48rem)");
  const coarse = useMedia("(pointer: coarse)");
  return narrow ? { row: 68, head: 0 } : { row: coarse ? 48 : 40, head: 36 };
}

/** @param {{of: import("./pages.js").Row}} props */
function Cells({ of: gateway }) {
  const tags = Object.entries(gateway.tags);
  const said = tags.map(([key, value]) => `${key}=${value}`).join("\n");
  return html`<div role="gridcell" class="cell-gatewayId"><a href=${link(["gateways", gateway.gatewayId])} tabindex="-1">${gateway.gatewayId}</a></div>
    <div role="gridcell" class="cell-status"><${Status} of=${gateway.online ? "online" : "offline"} /></div>
    <div role="gridcell" class="cell-version">
      ${gateway.currentVersion ?? html`<span class="quiet">${t("unknown")}</span>`}
      ${gateway.needUpgrade && html` <span class="newer" title=${t("newer")} role="img" aria-label=${t("newer")}>↑</span>`}
    </div>
    <div role="gridcell" class="cell-latest">${gateway.latestVersion ?? "–"}</div>
    <div role="gridcell" class="cell-deviceType">${gateway.deviceType}</div>
    <div role="gridcell" class="cell-tags" title=${said}>${tags.map(([key, value]) => html`<span key=${key} class="fleet-tag">${key}=${value}</span>`)}</div>
    <div role="gridcell" class="cell-lastSeen">
      ${gateway.online ? t("now") : html`<time datetime=${gateway.lastSeenAt} title=${time(gateway.lastSeenAt)}>${ago(gateway.lastSeenAt)}</time>`}
    </div>`;
}

/** A row whose gateway is on its way says which one of all it is. @param {{index: number}} props */
const Coming = ({ index }) => html`<div role="gridcell" class="cell-gatewayId quiet">${number(index + 1)} …</div>`;

/**
 * Made anew only when what it shows is another: most of scrolling is rows that stay as they are.
 *
 * @param {{index: number, active: boolean, gateway: import("./pages.js").Row | undefined, ticks: number, onClick: (index: number) => void}} props
 */
function Row({ index, active, gateway, ticks, onClick }) {
  const made = () => html`<div id=${rowId(index)} role="row" class="fleet-row" aria-rowindex=${index + 2}
      data-active=${active || undefined} onClick=${() => onClick(index)}>
    ${gateway ? html`<${Cells} of=${gateway} />` : html`<${Coming} index=${index} />`}
  </div>`;
  return useMemo(made, [index, active, gateway, ticks, language()]);
}

/** @param {number} index */
const rowId = (index) => `gateway-row-${index}`;

/** Where the reader was in which list, for the way back. */
let left = { filter: "", top: 0, active: 0, total: /** @type {number | null} */ (null) };

/** The list's pages, kept current by events. @param {string} filter @param {() => void} onChange */
function usePages(filter, onChange) {
  const pages = useRef(/** @type {Pages | null} */ (null));
  if (pages.current?.filter !== filter) {
    pages.current?.close();
    pages.current = new Pages(filter, onChange);
    pages.current.total = left.filter === filter ? left.total : null;
  }
  useEffect(() => () => pages.current?.close(), []);
  const refresh = useThrottled(() => pages.current?.refresh(), REFRESH_PAUSE_MS);
  const waiting = useRef(/** @type {import("./pages.js").FleetEvent[]} */ ([]));
  const apply = () => {
    if (pages.current?.apply(waiting.current.splice(0))) {
      refresh();
    }
  };
  /** @param {import("./pages.js").FleetEvent} event */
  const onEvent = (event) => {
    if (event.kind !== "gateway") {
      refresh();
    } else if (waiting.current.push(event) === 1) {
      requestAnimationFrame(apply);
    }
  };
  useEvents({ kinds: ["gateway", "firmware"] }, onEvent, refresh);
  return pages.current;
}

/**
 * How far the rows are scrolled, though the browser's own measure may be coarser.
 *
 * @param {{rows: number, row: number, view: number}} sizes
 */
function scale({ rows, row, view }) {
  const content = rows * row;
  const height = Math.min(content, HEIGHT_MAX);
  const ratio = height < content ? (content - view) / (height - view) : 1;
  return {
    height,
    /** @param {number} top */
    toContent: (top) => Math.max(0, Math.min(top * ratio, content - view)),
    /** @param {number} offset */
    toTop: (offset) => offset / ratio,
  };
}

/** @param {KeyboardEvent} event @param {number} active @param {number} perView */
function moved(event, active, perView) {
  /** @type {Record<string, number>} */
  const keys = {
    ArrowDown: active + 1,
    ArrowUp: active - 1,
    PageDown: active + perView,
    PageUp: active - perView,
    Home: 0,
    End: Infinity,
  };
  return event.altKey || event.metaKey ? undefined : keys[event.key];
}

/**
 * Where the rows are, by the height of the box and how far it is scrolled.
 *
 * @param {{current: HTMLElement | null}} scroller
 * @param {number} rows
 */
function useWindow(scroller, rows) {
  const [top, setTop] = useState(0);
  const [box, setBox] = useState(0);
  const sizes = useSizes();
  useLayoutEffect(() => {
    const element = /** @type {HTMLElement} */ (scroller.current);
    const resized = new ResizeObserver(() => setBox(element.clientHeight));
    resized.observe(element);
    return () => resized.disconnect();
  }, []);
  const view = Math.max(0, box - sizes.head);
  const { height, toContent, toTop } = scale({ rows, row: sizes.row, view });
  const offset = toContent(top);
  const first = Math.max(0, Math.floor(offset / sizes.row) - SPARE_ROWS);
  const end = Math.min(rows, Math.ceil((offset + view) / sizes.row) + SPARE_ROWS);
  /** Where the browser must be for this row to be in view. @param {number} index */
  const topFor = (index) => {
    const begin = index * sizes.row;
    return toTop(begin < offset ? begin : Math.max(offset, begin + sizes.row - view));
  };
  const shift = top - offset + first * sizes.row;
  return { top, setTop, sizes, view, height, first, end: view > 0 ? end : first, topFor, shift };
}

/**
 * @param {{filter: string, label: string, version: number, onState: (state: {total: number | null, error: Error | null}) => void}} props
 *   `version` changes when all must be loaded anew
 */
export function Table({ filter, label, version, onState }) {
  const scroller = useRef(/** @type {HTMLElement | null} */ (null));
  const [active, setActive] = useState(left.filter === filter ? left.active : 0);
  const [, draw] = useState(0);
  const again = useCallback(() => draw((count) => count + 1), []);
  const pages = usePages(filter, again);
  const rows = pages.total ?? 0;
  const { top, setTop, sizes, view, height, first, end, topFor, shift } = useWindow(scroller, rows);

  const drawn = useRef(filter);
  useLayoutEffect(() => {
    const element = /** @type {HTMLElement} */ (scroller.current);
    const back = left.filter === filter && drawn.current === filter;
    drawn.current = filter;
    element.scrollTop = back ? left.top : 0;
    setTop(element.scrollTop);
    setActive(back ? left.active : 0);
  }, [filter]);
  useEffect(() => {
    left = { filter, top, active, total: pages.total };
  });
  const [ticks, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => tick((count) => count + 1), 10_000);
    return () => clearInterval(timer);
  }, []);
  useEffect(() => {
    if (version > 0) {
      pages.refresh();
    }
  }, [version]);
  useEffect(() => {
    if (view > 0) {
      pages.want(first, end);
    }
  }, [pages, first, end, view]);
  useEffect(() => onState({ total: pages.total, error: pages.error }), [pages.total, pages.error]);

  /** @param {KeyboardEvent} event */
  const onKeyDown = (event) => {
    const wanted = moved(event, active, Math.max(1, Math.floor(view / sizes.row) - 1));
    const gateway = pages.row(active);
    if (wanted !== undefined && rows > 0) {
      event.preventDefault();
      const index = Math.max(0, Math.min(wanted, rows - 1));
      setActive(index);
      /** @type {HTMLElement} */ (scroller.current).scrollTop = topFor(index);
    } else if (event.key === "Enter" && gateway) {
      go(["gateways", gateway.gatewayId]);
    }
  };
  return html`<div class="fleet" ref=${scroller} role="grid" tabindex="0" aria-label=${label}
      aria-rowcount=${rows + 1} aria-colcount=${COLUMNS.length} aria-busy=${pages.total === null}
      aria-activedescendant=${active >= first && active < end ? rowId(active) : undefined}
      style=${{ "--row": `${sizes.row}px`, "--head": `${sizes.head}px` }}
      onScroll=${(/** @type {any} */ event) => setTop(event.currentTarget.scrollTop)} onKeyDown=${onKeyDown}>
    <div class="fleet-head fleet-row" role="row" aria-rowindex="1">
      ${COLUMNS.map((name) => html`<div key=${name} role="columnheader" class=${`cell-${name}`}>${t(/** @type {any} */ (name))}</div>`)}
    </div>
    <div class="fleet-rows" role="presentation" style=${{ height: `${height}px` }}>
      <div role="rowgroup" style=${{ transform: `translateY(${shift}px)` }}>
        ${Array.from({ length: Math.max(0, end - first) }, (_, place) => {
          const index = first + place;
          return html`<${Row} key=${index} index=${index} active=${index === active} gateway=${pages.row(index)} ticks=${ticks} onClick=${setActive} />`;
        })}
      </div>
    </div>
  </div>`;
}
