// What lists of credentials have in common.

import { html, useState } from "../../vendor/preact.js";
import { change } from "../../core/api.js";
import { translator } from "../../core/words.js";
import { Empty, Section, Shown, Status, Time } from "../../parts/common.js";
import { ConfirmDialog } from "../../parts/dialog.js";
import { More } from "../../parts/list.js";
import { SecretDialog } from "../../parts/secret.js";
import { say } from "../../parts/toast.js";
import { closed } from "./closing.js";

const t = translator("access/credentials");

/** What columns and fields are called. */
export const words = () => ({
  name: t("name"),
  role: t("role"),
  state: t("state"),
  used: t("used"),
  expires: t("expires"),
  made: t("made"),
});

/** @typedef {{key: string, name: any, cells: any[], deeds?: any}} Row */

/** @param {{head: string[], rows: Row[]}} props `head`: of the name and the cells */
const Table = ({ head, rows }) => html`<div class="scroll"><table>
  <thead><tr>
    ${head.map((word) => html`<th key=${word} scope="col">${word}</th>`)}
    <th scope="col"><span class="unseen">${t("deeds")}</span></th>
  </tr></thead>
  <tbody>${rows.map(
    ({ key, name, cells, deeds }) => html`<tr key=${key}>
      <th scope="row">${name}</th>
      ${cells.map((cell) => html`<td>${cell}</td>`)}
      <td class="deeds">${deeds}</td>
    </tr>`,
  )}</tbody>
</table></div>`;

/**
 * @param {{title: string, what: string, none: string, actions: any, list: any, head: string[], row: (item: any) => Row, children?: any}} props
 * `children`: what stands above the list, and dialogs
 */
export const Credentials = ({ title, what, none, actions, list, head, row, children }) => html`<${Section} title=${title} actions=${actions}>
  <p class="quiet">${what}</p>
  ${children}
  <${Shown} of=${list}>${(/** @type {any[]} */ items) =>
    items.length > 0 ? html`<${Table} head=${head} rows=${items.map(row)} />` : html`<${Empty}>${none}<//>`}<//>
  <${More} list=${list} />
<//>`;

/** @param {{of: {createdAt: string, createdBy: string}}} props */
export const Made = ({ of: { createdAt, createdBy } }) =>
  html`<${Time} at=${createdAt} /> <span class="quiet">${t("by", { name: createdBy })}</span>`;

/** @param {{of: {revokedAt?: string | null, expiresAt?: string | null}, usedUp?: boolean}} props */
export const State = ({ of: credential, usedUp = false }) => html`<${Status} of=${stateOf(credential, usedUp)} />`;

/**
 * @param {{revokedAt?: string | null, expiresAt?: string | null}} credential
 * @param {boolean} [usedUp]
 */
export function stateOf({ revokedAt, expiresAt }, usedUp = false) {
  if (revokedAt) {
    return "revoked";
  }
  if (expiresAt && Date.parse(expiresAt) <= Date.now()) {
    return "expired";
  }
  return usedUp ? "used_up" : "good";
}

/**
 * A deed's button, told from those of other rows.
 *
 * @param {{words: string, of: string, danger?: boolean, onClick: () => void}} props
 */
export const Deed = ({ words, of: name, danger, onClick }) =>
  html`<button type="button" class=${danger ? "small danger" : "small"} onClick=${onClick} aria-label=${`${words}: ${name}`}>${words}</button>`;

/** @param {{of: string, onClick: () => void}} props */
export const RevokeButton = ({ of: name, onClick }) => html`<${Deed} words=${t("revoke")} of=${name} danger onClick=${onClick} />`;

/**
 * @param {{name: string, path: string, ends: string, title?: string, done?: (answer: any) => string, onRevoked: () => void, onClose: () => void}} props
 * `ends`: what ends with it
 */
export function Revoke({ name, path, ends, title, done, onRevoked, onClose }) {
  const submit = async () => {
    const answer = await change("DELETE", path);
    tell(answer, done ? done(answer) : t("revoked", { name }));
    onRevoked();
  };
  return html`<${ConfirmDialog} title=${title ?? t("revokeOne", { name })} action=${t("revoke")} submit=${submit} onClose=${onClose}>${ends}<//>`;
}

/** @param {{warning?: string | null}} answer @param {string} words if it warns of nothing */
export const tell = ({ warning }, words) => say(warning ?? words, warning ? "bad" : "good");

/**
 * A credential that was made, until its secret is kept.
 *
 * @param {{reload: () => void}} list
 */
export function useMade(list) {
  const [made, setMade] = useState(/** @type {any} */ (null));
  const kept = () => {
    setMade(null);
    closed();
    list.reload();
  };
  /** @type {(title: string, name: string, secret: string, children?: any) => any} */
  const dialog = (title, name, secret, children) =>
    html`<${SecretDialog} title=${title} name=${name} secret=${secret} onClose=${kept}>${children}<//>`;
  return { made, setMade, kept, dialog };
}
