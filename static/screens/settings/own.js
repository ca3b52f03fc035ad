// The page as its reader wants it, and the reader's password.

import { html } from "../../vendor/preact.js";
import { change, currentSession } from "../../core/api.js";
import { setTheme, theme } from "../../core/theme.js";
import { LANGUAGES, language, setLanguage, translator } from "../../core/words.js";
import { Section } from "../../parts/common.js";
import { NewPassword, newPassword } from "../../parts/password.js";
import { attempt, say } from "../../parts/toast.js";

const t = translator("settings/own");

const THEMES = /** @type {const} */ (["system", "light", "dark"]);

export function PageSettings() {
  return html`<${Section} title=${t("page")}>
    <div class="fields">
      <label>${t("language")}
        <select value=${language()} onChange=${(/** @type {any} */ event) => setLanguage(event.target.value)}>
          ${Object.entries(LANGUAGES).map(([code, name]) => html`<option key=${code} value=${code} lang=${code}>${name}</option>`)}
        </select>
      </label>
      <label>${t("theme")}
        <select defaultValue=${theme()} onChange=${(/** @type {any} */ event) => setTheme(event.target.value)}>
          ${THEMES.map((each) => html`<option key=${each} value=${each} selected=${each === theme()}>${t(/** @type {any} */ (each))}</option>`)}
        </select>
      </label>
    </div>
  <//>`;
}

/** @param {SubmitEvent} event */
async function changePassword(event) {
  event.preventDefault();
  const form = /** @type {HTMLFormElement} */ (event.currentTarget);
  const fields = /** @type {Record<string, string>} */ (Object.fromEntries(new FormData(form)));
  await attempt(async () => {
    const body = { oldPassword: fields.old, newPassword: newPassword(fields) };
    await change("POST", "/api/ota/session/password", body);
    form.reset();
    say(t("changed"));
  });
}

export function Account() {
  const session = currentSession();
  return html`<${Section} title=${t("account")}>
    <form class="fields" onSubmit=${changePassword}>
      <input name="name" autocomplete="username" value=${session.name} hidden />
      <label>${t("old")}<input name="old" type="password" autocomplete="current-password" required /></label>
      <${NewPassword} label=${t("new")} />
      <div class="actions"><button class="primary">${t("change")}</button></div>
    </form>
  <//>`;
}
