// A filter's text, term by term.

/** Blanks separate terms, except between quotes. @param {string} filter @returns {string[]} */
export const terms = (filter) => filter.match(/(?:[^\s"]|"(?:\\.|[^"\\])*"?)+/g) ?? [];

/** @param {string} filter @param {string} term */
export const has = (filter, term) => terms(filter).includes(term);

/** The value of the filter's term that begins so. @param {string} filter @param {string} beginning */
export const valueOf = (filter, beginning) =>
  terms(filter).find((term) => term.startsWith(beginning))?.slice(beginning.length) ?? "";

/**
 * The filter with this term in place of those that begin so.
 *
 * @param {string} filter
 * @param {string} beginning
 * @param {string} term empty: without any
 */
export const put = (filter, beginning, term) =>
  [...terms(filter).filter((each) => !each.startsWith(beginning)), term].join(" ").trim();
