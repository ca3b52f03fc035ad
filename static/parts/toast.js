// Short messages at the page's edge, and deeds that can be undone while they are shown.

import { html, useEffect, useState } from "../vendor/preact.js";
import { translator } from "../core/words.js";

const t = translator("toast");

/** @typedef {{id: number, text: string, tone: "good" | "bad", undo?: () => void}} Toast */

const SHOWN_FOR_MS = 6000;
/** @type {Toast[]} */
let toasts = [];
let nextId = 1;
/** @type {(() => void) | null} */
let changed = null;

/** @param {Toast[]} now */
function set(now) {
  toasts = now;
  changed?.();
}

/** @param {number} id */
const remove = (id) => set(toasts.filter((toast) => toast.id !== id));

/**
 * @param {string} text
 * @param {"good" | "bad"} [tone] what is bad stays until it is closed
 */
export function say(text, tone = "good") {
  const id = nextId++;
  set([...toasts, { id, text, tone }]);
  if (tone === "good") {
    setTimeout(() => remove(id), SHOWN_FOR_MS);
  }
}

/** Runs a change; a failure is said. @param {() => Promise<unknown>} work */
export async function attempt(work) {
  try {
    await work();
    return true;
  } catch (error) {
    say(/** @type {Error} */ (error).message, "bad");
    return false;
  }
}

/**
 * Does `work` when its message has been shown, unless it is undone before; at once if the page is left.
 *
 * @param {string} text
 * @param {(leaving: boolean) => Promise<unknown>} work
 * @param {() => void} onUndone
 */
export function doUnlessUndone(text, work, onUndone) {
  const id = nextId++;
  const run = (/** @type {boolean} */ leaving) => {
    finish();
    void attempt(() => work(leaving));
  };
  const leave = () => run(true);
  const timer = setTimeout(run, SHOWN_FOR_MS, false);
  function finish() {
    clearTimeout(timer);
    removeEventListener("pagehide", leave);
    remove(id);
  }
  addEventListener("pagehide", leave);
  const undo = () => {
    finish();
    onUndone();
    say(t("undone"));
  };
  set([...toasts, { id, text, tone: "good", undo }]);
}

export function Toasts() {
  const [, render] = useState(0);
  useEffect(() => {
    changed = () => render((count) => count + 1);
    return () => {
      changed = null;
    };
  }, []);
  return html`<div class="toasts" role="status" aria-live="polite">
    ${toasts.map(
      (toast) => html`<div key=${toast.id} class="toast" data-tone=${toast.tone}>
        <p>${toast.text}</p>
        ${toast.undo
          ? html`<button type="button" onClick=${toast.undo}>${t("undo")}</button>`
          : html`<button type="button" class="quiet" onClick=${() => remove(toast.id)} aria-label=${t("close")}>×</button>`}
      </div>`,
    )}
  </div>`;
}
