// A new password, typed twice.

import { html } from "../vendor/preact.js";
import { translator } from "../core/words.js";

const t = translator({
  password: { en: "Password", zh: "密码", ru: "Пароль" },
  again: { en: "The same again", zh: "再次输入", ru: "Ещё раз" },
  rule: {
    en: "12 to 128 characters; several words are easy to keep in mind.",
    zh: "12 到 128 个字符；几个词的组合容易记住。",
    ru: "От 12 до 128 знаков; несколько слов легко запомнить.",
  },
  differ: { en: "The two passwords differ.", zh: "两次输入的密码不同。", ru: "Пароли различаются." },
});

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
