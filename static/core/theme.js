// Dark, light, or as the system has it.

/** @typedef {"system" | "light" | "dark"} Theme */

const KEY = "airlift.theme";

/** @returns {Theme} */
export function theme() {
  const stored = localStorage.getItem(KEY);
  return stored === "light" || stored === "dark" ? stored : "system";
}

/** @param {Theme} wanted */
export function setTheme(wanted) {
  localStorage.setItem(KEY, wanted);
  show();
}

function show() {
  document.documentElement.dataset.theme = theme();
}

show();
