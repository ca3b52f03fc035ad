// What the page says, in three languages: the texts lie in `words/`.

/** @typedef {"en" | "zh" | "ru"} Language */
/** @typedef {string | Partial<Record<Intl.LDMLPluralRule, string>>} Text */
/** @typedef {typeof import("../words/en.js").default} English */
/**
 * What each language has: all that English has.
 *
 * @typedef {{[Part in keyof English]: {[Key in keyof English[Part]]: Text}}} Words
 */

/** @type {Record<Language, string>} */
export const LANGUAGES = { en: "English", zh: "中文", ru: "Русский" };
const KEY = "airlift.language";

/** @type {Set<() => void>} */
const listeners = new Set();

/** @returns {Language} */
function preferred() {
  const wanted = [localStorage.getItem(KEY), ...navigator.languages];
  for (const each of wanted) {
    const short = each?.slice(0, 2);
    if (short && short in LANGUAGES) {
      return /** @type {Language} */ (short);
    }
  }
  return "en";
}

/**
 * @param {Language} wanted
 * @returns {Promise<Words>}
 */
const load = async (wanted) => (await import(`../words/${wanted}.js`)).default;

let current = preferred();
let words = await load(current);
document.documentElement.lang = current;

export const language = () => current;

/** @param {Language} wanted */
export async function setLanguage(wanted) {
  words = await load(wanted);
  current = wanted;
  localStorage.setItem(KEY, wanted);
  document.documentElement.lang = wanted;
  listeners.forEach((listener) => listener());
}

/** @param {() => void} listener */
export function onLanguage(listener) {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

/** @type {Map<Language, Intl.PluralRules>} */
const plurals = new Map();

/** @param {number} count */
function plural(count) {
  const rules = plurals.get(current) ?? new Intl.PluralRules(current);
  plurals.set(current, rules);
  return rules.select(count);
}

/**
 * A function that says a text of one part of the page in the reader's language. `{name}` in a text is a value's
 * place; of a text with plurals, `count` chooses the form.
 *
 * @template {keyof Words} Part
 * @param {Part} part
 * @returns {(key: keyof Words[Part] & string, values?: Record<string, string | number>) => string}
 */
export function translator(part) {
  return (key, values = {}) => {
    const text = /** @type {Text} */ (words[part][key]);
    const count = Number(values.count ?? 0);
    const form = typeof text === "string" ? text : (text[plural(count)] ?? text.other ?? "");
    return form.replace(/\{(\w+)\}/g, (_, name) => {
      const value = values[name];
      return typeof value === "number" ? value.toLocaleString(current) : String(value);
    });
  };
}
