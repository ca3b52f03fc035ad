// A new password, typed twice.

import { html } from "../vendor/preact.js";
import { translator } from "../core/words.js";

const t = translator("password");

/** @param {{label?: string}} props */
export const NewPassword = ({ label }) => html`
  <label>${label ?? t("password")}
    <input name="password" type="password" autocomplete="new-password" required minlength="12" maxlength="128" aria-describedby="password-rule" />
  </label>
  <p class="help" id="password-rule">${t("rule")}</p>
  <label>${t("again")}
    <input name="again" type="password" autocomplete="new-password" required />
  </label>`;

/**
 * The password of a form with `NewPassword`.
 *
 * @param {Record<string, string>} fields
 */
export function newPassword({ password, again }) {
  if (password !== again) {
    throw new Error(t("differ"));
  }
  return password;
}
