// The first credential closes an open server for ever.

import { html, useState } from "../../vendor/preact.js";
import { change, currentSession, logIn } from "../../core/api.js";
import { translator } from "../../core/words.js";
import { Section } from "../../parts/common.js";
import { FormDialog } from "../../parts/dialog.js";
import { NewPassword, newPassword } from "../../parts/password.js";

const t = translator({
  title: { en: "Close this server", zh: "关闭开放访问", ru: "Закрыть этот сервер" },
  why: {
    en: "The first credential – a user, a token, a key – closes every door for ever, also when it is gone again. So make an administrator first: you then log in with this name and password, and make everything else.",
    zh: "创建第一个凭据（用户、令牌或密钥）后，所有入口将永久要求身份验证，即使之后删除该凭据也一样。因此请先创建管理员，然后用该用户名和密码登录，再创建其他凭据。",
    ru: "Первые учётные данные – пользователь, токен, ключ – закрывают все двери навсегда, даже если их потом удалить. Поэтому сначала создайте администратора: вы войдёте с этим именем и паролем и создадите всё остальное.",
  },
  warning: {
    en: "This is the first credential: it closes the server for ever, for this page too. Without a user you can't log in here afterwards; airlift user create on the server makes one.",
    zh: "这是第一个凭据：它会永久关闭开放访问，包括本页面。没有用户就无法再从这里登录；可在服务器上运行 airlift user create 创建用户。",
    ru: "Это первые учётные данные: они закроют сервер навсегда, и эту страницу тоже. Без пользователя сюда больше не войти; его создаст airlift user create на сервере.",
  },
  make: { en: "Make the first administrator", zh: "创建第一个管理员", ru: "Создать первого администратора" },
  close: { en: "Make, and log in", zh: "创建并登录", ru: "Создать и войти" },
  name: { en: "Name", zh: "用户名", ru: "Имя" },
});

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
