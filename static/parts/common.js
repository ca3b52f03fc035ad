// Small components that all screens use.

import { html, useEffect, useRef, useState } from "../vendor/preact.js";
import { ago, time } from "../core/format.js";
import { translator } from "../core/words.js";

const t = translator("common");

/**
 * A screen: its heading takes the focus, so that the keyboard and a screen reader begin there.
 *
 * @param {{title: string, actions?: any, children?: any}} props
 */
export function Screen({ title, actions, children }) {
  const heading = useRef(/** @type {HTMLHeadingElement | null} */ (null));
  useEffect(() => {
    document.title = `${title} – airlift`;
  }, [title]);
  useEffect(() => heading.current?.focus({ preventScroll: true }), []);
  return html`<header class="screen-head">
      <h1 ref=${heading} tabindex="-1">${title}</h1>
      <div class="actions">${actions}</div>
    </header>
    ${children}`;
}

/**
 * @param {{title: string, actions?: any, children?: any, id?: string}} props
 */
export function Section({ title, actions, children, id }) {
  return html`<section class="card" aria-label=${title} id=${id}>
    <header class="card-head"><h2>${title}</h2><div class="actions">${actions}</div></header>
    ${children}
  </section>`;
}

/**
 * What went wrong, in the server's words.
 *
 * @param {{error: Error | null, retry?: () => void}} props
 */
export function Problem({ error, retry }) {
  if (!error) {
    return null;
  }
  return html`<div class="problem" role="alert">
    <p>${error.message}</p>
    ${retry && html`<button type="button" onClick=${retry}>${t("retry")}</button>`}
  </div>`;
}

/**
 * Shows what was loaded; before the first time, that it is on its way.
 *
 * @param {{of: import("./load.js").Loaded<any>, children: (data: any) => any}} props
 */
export function Shown({ of: loaded, children }) {
  return html`<${Problem} error=${loaded.error} retry=${loaded.reload} />
    ${loaded.data !== null ? children(loaded.data) : !loaded.error && html`<${Loading} />`}`;
}

export function Loading() {
  const [late, setLate] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setLate(true), 300);
    return () => clearTimeout(timer);
  }, []);
  return late ? html`<p class="quiet" role="status">${t("loading")}</p>` : null;
}

/** @param {{children?: any}} props */
export const Empty = ({ children }) => html`<p class="empty">${children}</p>`;

/** @param {string} status */
export const statusWord = (status) => t(/** @type {any} */ (status));

/**
 * A status by word and colour.
 *
 * @param {{of: string}} props
 */
export const Status = ({ of: status }) =>
  html`<span class="status" data-status=${status}>${statusWord(status)}</span>`;

/** A task that is proven is more than completed. @param {import("../core/types.js").Task} task */
export const taskStatus = (task) => (task.confirmedAt ? "confirmed" : task.status);

/**
 * @param {{value: number, max?: number, label: string, tone?: string}} props
 */
export const Bar = ({ value, max = 100, label, tone }) =>
  html`<progress class="bar" data-tone=${tone} value=${value} max=${max} aria-label=${label}></progress>`;

/**
 * A time as people say it, with the exact one at hand.
 *
 * @param {{at: string | null | undefined, exact?: boolean}} props
 */
export function Time({ at, exact }) {
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => tick((count) => count + 1), 10_000);
    return () => clearInterval(timer);
  }, []);
  return html`<time datetime=${at} title=${time(at)}>${exact ? time(at) : ago(at)}</time>`;
}

/**
 * A text for the clipboard.
 *
 * @param {{text: string, label?: string}} props
 */
export function Copy({ text, label }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    await writeClipboard(text);
    setDone(true);
    setTimeout(() => setDone(false), 2000);
  };
  return html`<button type="button" class="small" onClick=${copy} aria-label=${label ? `${t("copy")}: ${label}` : undefined}>
    ${done ? t("copied") : t("copy")}
  </button>`;
}

/** @param {string} text */
async function writeClipboard(text) {
  if (navigator.clipboard) {
    return navigator.clipboard.writeText(text);
  }
  // Over plain HTTP there is no other way.
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}
