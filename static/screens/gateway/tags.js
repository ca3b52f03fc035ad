// A gateway's tags, and the dialog that changes them.

import { html, useState } from "../../vendor/preact.js";
import { change, segment } from "../../core/api.js";
import { translator } from "../../core/words.js";
import { FormDialog } from "../../parts/dialog.js";

/** @typedef {Record<string, string>} TagValues */
/** @typedef {{id: number, key: string, value: string}} Row */

const t = translator("gateway/tags");

/** @param {{tags: TagValues}} props */
export function Tags({ tags }) {
  const all = Object.entries(tags);
  return all.length === 0
    ? html`<span class="quiet">${t("none")}</span>`
    : html`<ul class="tags">${all.map(([key, value]) => html`<li key=${key}><span>${key}</span> <b>${value}</b></li>`)}</ul>`;
}

/**
 * What turns the old tags into the new ones: others that were set meanwhile stay (RFC 7396).
 *
 * @param {TagValues} before
 * @param {Row[]} rows
 */
function mergePatch(before, rows) {
  /** @type {Record<string, string | null>} */
  const patch = {};
  const after = new Map();
  for (const { key, value } of rows.filter((row) => row.key || row.value)) {
    if (after.has(key)) {
      throw new Error(t("twice", { key }));
    }
    after.set(key, value);
    if (before[key] !== value) {
      patch[key] = value;
    }
  }
  for (const key of Object.keys(before)) {
    if (!after.has(key)) {
      patch[key] = null;
    }
  }
  return patch;
}

/** @param {{row: Row, set: (row: Row) => void, remove: () => void}} props */
function TagRow({ row, set, remove }) {
  return html`<div class="tag-row">
    <input aria-label=${t("key")} value=${row.key} maxlength="64" autocomplete="off"
      onInput=${(/** @type {any} */ event) => set({ ...row, key: event.target.value.trim() })} />
    <input aria-label=${t("value")} value=${row.value} maxlength="128" autocomplete="off"
      onInput=${(/** @type {any} */ event) => set({ ...row, value: event.target.value })} />
    <button type="button" class="quiet" aria-label=${t("remove", { key: row.key })} onClick=${remove}>×</button>
  </div>`;
}

let nextId = 1;
/** @param {string} key @param {string} value @returns {Row} */
const newRow = (key, value) => ({ id: nextId++, key, value });

/** @param {{gateway: import("../../core/types.js").Gateway, onClose: () => void, onSaved: (gateway: any) => void}} props */
export function TagsDialog({ gateway: { gatewayId, tags }, onClose, onSaved }) {
  const [before] = useState(tags);
  const [rows, setRows] = useState(() => [...Object.entries(tags).map(([key, value]) => newRow(key, value)), newRow("", "")]);
  const save = async () => {
    const patch = mergePatch(before, rows);
    if (Object.keys(patch).length > 0) {
      onSaved(await change("PATCH", `/api/ota/gateways/${segment(gatewayId)}`, { tags: patch }));
    }
  };
  return html`<${FormDialog} title=${t("title", { id: gatewayId })} action=${t("save")} submit=${save} onClose=${onClose}>
    <div class="tag-row" aria-hidden="true"><span>${t("key")}</span><span>${t("value")}</span></div>
    ${rows.map(
      (row) => html`<${TagRow} key=${row.id} row=${row}
        set=${(/** @type {Row} */ now) => setRows(rows.map((each) => (each.id === now.id ? now : each)))}
        remove=${() => setRows(rows.filter((each) => each !== row))} />`,
    )}
    <p><button type="button" class="small" onClick=${() => setRows([...rows, newRow("", "")])}>${t("add")}</button></p>
  <//>`;
}
