// The part of a long list of gateways that is looked at, page by page from the server.

import { get } from "../../core/api.js";

/** @typedef {import("../../core/types.js").FleetEvent} FleetEvent */
/**
 * What a row shows of a gateway.
 *
 * @typedef {Pick<import("../../core/types.js").Gateway, "gatewayId" | "deviceType" | "online" | "currentVersion" |
 *   "latestVersion" | "needUpgrade" | "lastSeenAt" | "tags">} Row
 */

export const PAGE_ROWS = 200;
const PAGES_KEPT = 50;
const LOADS_AT_ONCE = 2;
/** Pages that are only scrolled past are not asked for. */
const REST_MS = 60;
/** Rows before and after those in view that are loaded with them. */
const MARGIN_ROWS = 40;

/** @param {Row} gateway @returns {Row} */
function row({ gatewayId, deviceType, online, currentVersion, latestVersion, needUpgrade, lastSeenAt, tags }) {
  return { gatewayId, deviceType, online, currentVersion, latestVersion, needUpgrade, lastSeenAt, tags };
}

export class Pages {
  /** How many gateways there are; null until the server has said it. @type {number | null} */
  total = null;
  /** @type {Error | null} */
  error = null;
  /** By number, those used last at the end. @type {Map<number, Row[]>} */
  #pages = new Map();
  /** Where each gateway is. @type {Map<string, {rows: Row[], at: number}>} */
  #places = new Map();
  /** @type {Map<number, AbortController>} */
  #loads = new Map();
  /** Pages that show something old. @type {Set<number>} */
  #stale = new Set();
  /** Events that came while pages were on their way, which may lack them. @type {FleetEvent[]} */
  #meanwhile = [];
  /** @type {number[]} */
  #wanted = [];
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #closed = false;

  /** @param {string} filter @param {() => void} onChange */
  constructor(filter, onChange) {
    this.filter = filter;
    this.onChange = onChange;
  }

  /** @param {number} index */
  row(index) {
    return this.#pages.get(Math.floor(index / PAGE_ROWS))?.[index % PAGE_ROWS];
  }

  /** Says which rows are in view: their pages are loaded, and loading others ends. @param {number} first @param {number} last */
  want(first, last) {
    const end = this.total === null ? last : Math.max(0, this.total - 1);
    const from = Math.floor(Math.max(0, first - MARGIN_ROWS) / PAGE_ROWS);
    const to = Math.floor(Math.max(0, Math.min(end, last + MARGIN_ROWS)) / PAGE_ROWS);
    const wanted = Array.from({ length: Math.max(1, to - from + 1) }, (_, number) => from + number);
    if (wanted.join() === this.#wanted.join()) {
      return;
    }
    this.#wanted = wanted;
    for (const [number, load] of this.#loads) {
      if (!wanted.includes(number)) {
        load.abort();
        this.#loads.delete(number);
      }
    }
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#load(), this.#pages.size === 0 ? 0 : REST_MS);
  }

  /** Takes over what events say; whether the list itself may be another now. @param {FleetEvent[]} events */
  apply(events) {
    if (this.#loads.size > 0) {
      this.#meanwhile.push(...events);
    }
    const moved = events.map((event) => this.#patch(event)).includes(true);
    this.onChange();
    return moved;
  }

  /** @param {FleetEvent} event */
  #patch({ gatewayId, createdAt, data: { change, online, currentVersion, deviceType, tags } }) {
    const place = this.#places.get(gatewayId ?? "");
    const moved = this.filter !== "" || change.includes("registered");
    if (!place) {
      return moved;
    }
    const { rows, at } = place;
    const before = rows[at];
    const lastSeenAt = change.includes("online") ? createdAt : before.lastSeenAt;
    const needUpgrade = before.needUpgrade && currentVersion !== before.latestVersion;
    rows[at] = { ...before, online, currentVersion, deviceType, tags, lastSeenAt, needUpgrade };
    return moved || before.currentVersion !== currentVersion || before.deviceType !== deviceType;
  }

  /** Loads what is in view anew, and other pages when they come into view. */
  refresh() {
    this.error = null;
    this.#stale = new Set(this.#pages.keys());
    this.#load();
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#loads.forEach((load) => load.abort());
  }

  #load() {
    const missing = this.#wanted.filter((number) => !this.#pages.has(number) || this.#stale.has(number));
    for (const number of missing) {
      if (this.#loads.size < LOADS_AT_ONCE && !this.#loads.has(number)) {
        void this.#loadPage(number, this.total === null || this.#stale.has(number));
      }
    }
  }

  /** @param {number} number @param {boolean} count */
  async #loadPage(number, count) {
    const load = new AbortController();
    this.#loads.set(number, load);
    const query = { filter: this.filter, offset: number * PAGE_ROWS, limit: PAGE_ROWS, count: count || "" };
    try {
      const { items, total } = await get("/api/ota/gateways", query, load.signal);
      if (load.signal.aborted) {
        return;
      }
      this.total = total ?? this.total;
      this.error = null;
      this.#keep(number, items.map(row));
      this.#meanwhile.forEach((event) => this.#patch(event));
    } catch (error) {
      if (load.signal.aborted) {
        return;
      }
      this.error = /** @type {Error} */ (error);
    }
    this.#loads.delete(number);
    if (this.#loads.size === 0) {
      this.#meanwhile = [];
    }
    if (!this.#closed) {
      this.onChange();
      if (!this.error) {
        this.#load();
      }
    }
  }

  /** @param {number} number @param {Row[]} rows */
  #keep(number, rows) {
    this.#forget(number);
    this.#stale.delete(number);
    this.#pages.set(number, rows);
    rows.forEach(({ gatewayId }, at) => this.#places.set(gatewayId, { rows, at }));
    for (const old of this.#pages.keys()) {
      if (this.#pages.size > PAGES_KEPT && !this.#wanted.includes(old)) {
        this.#forget(old);
      }
    }
  }

  /** @param {number} number */
  #forget(number) {
    const rows = this.#pages.get(number) ?? [];
    for (const { gatewayId } of rows) {
      // It may have moved to another page.
      if (this.#places.get(gatewayId)?.rows === rows) {
        this.#places.delete(gatewayId);
      }
    }
    this.#pages.delete(number);
  }
}
