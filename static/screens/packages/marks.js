// What a version is on its branch.

import { html } from "../../vendor/preact.js";
import { translator } from "../../core/words.js";

const t = translator("packages/marks");

/** @typedef {import("../../core/types.js").Package} Package */

/** @param {{of: Package}} props */
export const Marks = ({ of: { head, withdrawnAt } }) => html`
  ${head && html`<span class="status" data-status="released">${t("head")}</span>`}
  ${withdrawnAt && html`<span class="status" data-status="failed">${t("withdrawn")}</span>`}`;

/** @param {{of: Package}} props */
export const Signer = ({ of: { signedBy } }) =>
  signedBy
    ? html`<span title=${signedBy.fingerprint}>${signedBy.name}</span>`
    : html`<span class="quiet">${t("unsigned")}</span>`;
