// Times in the reader's zone, numbers in the reader's language.

import { language, translator } from "./words.js";

const t = translator("format");

/** @type {Map<string, any>} */
const formats = new Map();

/**
 * Formats are slow to make.
 *
 * @template Format
 * @param {new (language: string, options: any) => Format} Kind
 * @param {object} options
 * @returns {Format}
 */
function format(Kind, options) {
  const key = `${Kind.name} ${language()} ${JSON.stringify(options)}`;
  const known = formats.get(key) ?? new Kind(language(), options);
  formats.set(key, known);
  return known;
}

/**
 * @param {string | null | undefined} at RFC 3339
 * @param {Intl.DateTimeFormatOptions} [options]
 */
export function time(at, options = { dateStyle: "medium", timeStyle: "medium" }) {
  return at ? format(Intl.DateTimeFormat, options).format(new Date(at)) : t("never");
}

/** @type {[Intl.RelativeTimeFormatUnit, number][]} */
const UNITS = [
  ["year", 31_557_600],
  ["month", 2_629_800],
  ["day", 86_400],
  ["hour", 3600],
  ["minute", 60],
  ["second", 1],
];

/** @param {string | null | undefined} at RFC 3339 */
export function ago(at) {
  if (!at) {
    return t("never");
  }
  const seconds = (Date.parse(at) - Date.now()) / 1000;
  const [unit, size] = UNITS.find(([, size]) => Math.abs(seconds) >= size) ?? ["second", 1];
  return format(Intl.RelativeTimeFormat, { numeric: "auto" }).format(Math.round(seconds / size), unit);
}

/** @param {number} value */
export const number = (value) => value.toLocaleString(language());

/** @param {number} share 0 to 1 */
export const percent = (share) =>
  share.toLocaleString(language(), { style: "percent", maximumFractionDigits: 1 });

/** @param {number | null | undefined} count */
export function bytes(count) {
  if (count === null || count === undefined) {
    return "–";
  }
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const step = count < 1024 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(count) / 10));
  const value = count / 1024 ** step;
  const digits = step === 0 || value >= 100 ? 0 : 1;
  return `${value.toLocaleString(language(), { maximumFractionDigits: digits })} ${units[step]}`;
}

/** @param {number | null | undefined} seconds */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) {
    return "–";
  }
  const [unit, size] = /** @type {[string, number]} */ (
    [["hour", 3600], ["minute", 60], ["second", 1]].find(([, size]) => seconds >= Number(size)) ?? ["second", 1]
  );
  const options = { style: "unit", unit, unitDisplay: "short", maximumFractionDigits: 1 };
  return (seconds / size).toLocaleString(language(), /** @type {Intl.NumberFormatOptions} */ (options));
}

/**
 * A digest's beginning, enough to tell it from others.
 *
 * @param {string} hex
 */
export const short = (hex) => `${hex.slice(0, 12)}…`;
