// A time that is typed in the reader's zone.

import { html, useState } from "../vendor/preact.js";
import { translator } from "../core/words.js";

const t = translator("moment");

/** As `datetime-local` has it. @param {string | null | undefined} at RFC 3339 */
export function toLocal(at) {
  if (!at) {
    return "";
  }
  const time = new Date(at);
  const two = (/** @type {number} */ value) => String(value).padStart(2, "0");
  const day = `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`;
  return `${day}T${two(time.getHours())}:${two(time.getMinutes())}`;
}

/** RFC 3339; nothing for an empty field. @param {string | undefined} local */
export const fromLocal = (local) => (local ? new Date(local).toISOString() : undefined);

const DAYS = [7, 30, 90, 365];

/** An end, or none. @param {{label: string, name?: string}} props */
export function EndField({ label, name = "expiresAt" }) {
  const [value, setValue] = useState("");
  const after = (/** @type {number} */ days) => toLocal(new Date(Date.now() + days * 86_400_000).toISOString());
  return html`<div class="fields">
    <label>${label}
      <input type="datetime-local" name=${name} value=${value} min=${toLocal(new Date().toISOString())}
        onInput=${(/** @type {any} */ event) => setValue(event.target.value)} />
    </label>
    <div class="row">
      ${DAYS.map((days) => html`<button key=${days} type="button" class="small" onClick=${() => setValue(after(days))}>${t("days", { count: days })}</button>`)}
      <button type="button" class="small" aria-pressed=${value === ""} onClick=${() => setValue("")}>${t("never")}</button>
    </div>
  </div>`;
}
