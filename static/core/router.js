// Where the page is: `#/gateways/HQ1?filter=online:true`.

import { address } from "./api.js";

/** @typedef {{path: string[], query: Record<string, string>}} Place */

/** @returns {Place} */
export function place() {
  const [path, query = ""] = location.hash.replace(/^#/, "").split("?", 2);
  return {
    path: path.split("/").filter(Boolean).map(decode),
    query: Object.fromEntries(new URLSearchParams(query)),
  };
}

/** @param {string} part */
function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/**
 * @param {string[]} path
 * @param {Record<string, unknown>} [query]
 */
export function link(path, query) {
  return address(`#/${path.map(encodeURIComponent).join("/")}`, query);
}

/**
 * @param {string[]} path
 * @param {Record<string, unknown>} [query]
 */
export function go(path, query) {
  location.hash = link(path, query);
}

/**
 * Changes the query of where the page is, without a step in the history.
 *
 * @param {Record<string, unknown>} query
 */
export function setQuery(query) {
  history.replaceState(null, "", link(place().path, { ...place().query, ...query }));
}
