// The reader's own settings.

import { html } from "../vendor/preact.js";
import { change, currentSession, logIn } from "../core/api.js";
import { setTheme, theme } from "../core/theme.js";
import { LANGUAGES, language, setLanguage, translator } from "../core/words.js";
import { Screen, Section } from "../parts/common.js";
import { attempt, say } from "../parts/toast.js";

const t = translator({
  title: { en: "Settings", zh: "设置", ru: "Настройки" },
  page: { en: "This page", zh: "本页面", ru: "Эта страница" },
  language: { en: "Language", zh: "语言", ru: "Язык" },
  theme: { en: "Colours", zh: "配色", ru: "Цвета" },
  system: { en: "as the system has them", zh: "跟随系统", ru: "как в системе" },
  light: { en: "light", zh: "浅色", ru: "светлые" },
  dark: { en: "dark", zh: "深色", ru: "тёмные" },
  account: { en: "Your account", zh: "你的账户", ru: "Ваша учётная запись" },
  old: { en: "Old password", zh: "旧密码", ru: "Старый пароль" },
  new: { en: "New password", zh: "新密码", ru: "Новый пароль" },
  again: { en: "The same again", zh: "再次输入", ru: "Ещё раз" },
  rule: {
    en: "12 to 128 characters; several words are easy to keep in mind.",
    zh: "12 到 128 个字符；几个词的组合容易记住。",
    ru: "От 12 до 128 знаков; несколько слов легко запомнить.",
  },
  change: { en: "Change the password", zh: "修改密码", ru: "Сменить пароль" },
  changed: {
    en: "The password is changed; all other sessions have ended.",
    zh: "密码已修改；所有其他会话已结束。",
    ru: "Пароль изменён; все другие сеансы завершены.",
  },
  differ: { en: "The two passwords differ.", zh: "两次输入的密码不同。", ru: "Пароли различаются." },
  logOut: { en: "Log out", zh: "退出登录", ru: "Выйти" },
});

const THEMES = /** @type {const} */ (["system", "light", "dark"]);

function PageSettings() {
  return html`<${Section} title=${t("page")}>
    <div class="fields">
      <label>${t("language")}
        <select value=${language()} onChange=${(/** @type {any} */ event) => setLanguage(event.target.value)}>
          ${Object.entries(LANGUAGES).map(([code, name]) => html`<option key=${code} value=${code} lang=${code}>${name}</option>`)}
        </select>
      </label>
      <label>${t("theme")}
        <select defaultValue=${theme()} onChange=${(/** @type {any} */ event) => setTheme(event.target.value)}>
          ${THEMES.map((each) => html`<option key=${each} value=${each} selected=${each === theme()}>${t(each)}</option>`)}
        </select>
      </label>
    </div>
  <//>`;
}

/** @param {SubmitEvent} event */
async function changePassword(event) {
  event.preventDefault();
  const form = /** @type {HTMLFormElement} */ (event.currentTarget);
  const { old, wanted, again } = Object.fromEntries(new FormData(form));
  if (wanted !== again) {
    say(t("differ"), "bad");
    return;
  }
  const body = { oldPassword: old, newPassword: wanted };
  if (await attempt(() => change("POST", "/api/ota/session/password", body))) {
    form.reset();
    say(t("changed"));
  }
}

const logOut = () => attempt(() => change("POST", "/api/ota/logout").then(logIn));

function Account() {
  const session = currentSession();
  const actions = html`<button type="button" onClick=${logOut}>${t("logOut")}</button>`;
  return html`<${Section} title=${t("account")} actions=${actions}>
    <p>${session.name} (${session.role})</p>
    <form class="fields" onSubmit=${changePassword}>
      <input name="name" autocomplete="username" value=${session.name} hidden />
      <label>${t("old")}<input name="old" type="password" autocomplete="current-password" required /></label>
      <label>${t("new")}<input name="wanted" type="password" autocomplete="new-password" required minlength="12" maxlength="128" />
        <span class="help">${t("rule")}</span></label>
      <label>${t("again")}<input name="again" type="password" autocomplete="new-password" required /></label>
      <div class="actions"><button class="primary">${t("change")}</button></div>
    </form>
  <//>`;
}

export default function Settings() {
  return html`<${Screen} title=${t("title")}>
    <${PageSettings} />
    ${currentSession().kind === "user" && html`<${Account} />`}
  <//>`;
}
