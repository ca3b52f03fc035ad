// Lists that come in pages.

import { html, useState } from "../vendor/preact.js";
import { get } from "../core/api.js";
import { translator } from "../core/words.js";
import { useLive } from "./load.js";

const t = translator("list");

const STEP = 50;
const LIMIT_MAX = 500;

/**
 * A list from its beginning on, as far as was asked for, loaded anew after events of the filter.
 *
 * @param {string} path
 * @param {Record<string, unknown>} query
 * @param {import("../core/stream.js").Filter} filter
 * @param {{pause?: number, aftermath?: number}} [options] of `useLive`
 */
export function useList(path, query, filter, options) {
  const [wanted, setWanted] = useState(STEP);
  const load = async (/** @type {AbortSignal} */ signal) => {
    /** @type {any[]} */
    const items = [];
    let cursor = null;
    do {
      const limit = Math.min(LIMIT_MAX, wanted - items.length);
      const page = await get(path, { ...query, limit, cursor }, signal);
      items.push(...page.items);
      cursor = page.nextCursor ?? null;
    } while (cursor && items.length < wanted);
    return { items, cursor };
  };
  const loaded = useLive(load, [path, JSON.stringify(query), wanted], filter, options);
  const more = loaded.data?.cursor ? () => setWanted(wanted + 2 * STEP) : null;
  return { ...loaded, data: loaded.data?.items ?? null, more };
}

/** @param {{list: ReturnType<typeof useList>}} props */
export const More = ({ list }) =>
  list.more && html`<p class="more"><button type="button" onClick=${list.more}>${t("more")}</button></p>`;
