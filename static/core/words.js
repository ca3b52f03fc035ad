// What the page says, in three languages.

/** @typedef {"en" | "zh" | "ru"} Language */
/** @typedef {string | Partial<Record<Intl.LDMLPluralRule, string>>} Text */

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

let current = preferred();
document.documentElement.lang = current;

export const language = () => current;

/** @param {Language} wanted */
export function setLanguage(wanted) {
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
 * A function that says a text of `texts` in the reader's language. `{name}` in a text is a value's place; of
 * a text with plurals, `count` chooses the form.
 *
 * @template {Record<string, Record<Language, Text>>} Texts
 * @param {Texts} texts
 * @returns {(key: keyof Texts & string, values?: Record<string, string | number>) => string}
 */
export function translator(texts) {
  return (key, values = {}) => {
    const text = texts[key][current];
    const count = Number(values.count ?? 0);
    const form = typeof text === "string" ? text : (text[plural(count)] ?? text.other ?? "");
    return form.replace(/\{(\w+)\}/g, (_, name) => {
      const value = values[name];
      return typeof value === "number" ? value.toLocaleString(current) : String(value);
    });
  };
}
