// The first credential closes an open server for ever.

import { html, useState } from "../../vendor/preact.js";
import { change, currentSession, logIn } from "../../core/api.js";
import { translator } from "../../core/words.js";
import { Section } from "../../parts/common.js";
import { FormDialog } from "../../parts/dialog.js";
import { NewPassword, newPassword } from "../../parts/password.js";

const t = translator("access/closing");

/** Before a first credential that is not a user. */
export const ClosingWarning = () => currentSession().open && html`<p class="notice">${t("warning")}</p>`;

/** After a credential was made: a server that was open asks now. */
export function closed() {
  if (currentSession().open) {
    logIn();
  }
}

export function FirstUser() {
  const [asked, setAsked] = useState(false);
  const submit = async (/** @type {Record<string, string>} */ fields) => {
    await change("POST", "/api/ota/users", { name: fields.name, role: "admin", password: newPassword(fields) });
    closed();
  };
  const action = html`<button type="button" class="primary" onClick=${() => setAsked(true)}>${t("make")}</button>`;
  return html`<${Section} title=${t("title")} actions=${action}>
    <p>${t("why")}</p>
    ${asked &&
    html`<${FormDialog} title=${t("make")} action=${t("close")} submit=${submit} onClose=${() => setAsked(false)}>
      <label>${t("name")}<input name="name" autocomplete="username" required maxlength="100" /></label>
      <${NewPassword} />
    <//>`}
  <//>`;
}
