// People, who log in by name and password or at the provider.

import { html, useState } from "../../vendor/preact.js";
import { change, segment } from "../../core/api.js";
import { translator } from "../../core/words.js";
import { Status, Time } from "../../parts/common.js";
import { ConfirmDialog, FormDialog } from "../../parts/dialog.js";
import { useList } from "../../parts/list.js";
import { NO_EVENTS } from "../../parts/load.js";
import { NewPassword, newPassword } from "../../parts/password.js";
import { RoleField, roleName } from "../../parts/role.js";
import { say } from "../../parts/toast.js";
import { closed, ClosingWarning } from "./closing.js";
import { Credentials, Deed, tell, words } from "./credentials.js";

/** @typedef {import("../../core/types.js").User} User */
/** @typedef {"change" | "password" | "delete"} DeedName */

const t = translator({
  title: { en: "Users", zh: "用户", ru: "Пользователи" },
  what: { en: "For people with a browser.", zh: "供使用浏览器的人员使用。", ru: "Для людей с браузером." },
  none: { en: "There is no user.", zh: "没有用户。", ru: "Пользователей нет." },
  make: { en: "New user", zh: "新建用户", ru: "Новый пользователь" },
  create: { en: "Make the user", zh: "创建用户", ru: "Создать пользователя" },
  made: { en: "{name} may log in now.", zh: "{name} 现在可以登录。", ru: "{name} теперь может войти." },
  name: { en: "Name", zh: "用户名", ru: "Имя" },
  login: { en: "Logs in with", zh: "登录方式", ru: "Входит через" },
  password: { en: "password", zh: "密码", ru: "пароль" },
  provider: { en: "the provider", zh: "身份提供方", ru: "провайдера" },
  since: { en: "Since", zh: "创建于", ru: "Создан" },
  change: { en: "Change", zh: "修改", ru: "Изменить" },
  setPassword: { en: "Set password", zh: "设置密码", ru: "Задать пароль" },
  delete: { en: "Delete", zh: "删除", ru: "Удалить" },
  newPassword: { en: "New password", zh: "新密码", ru: "Новый пароль" },
  disabled: { en: "disabled: may not log in", zh: "已禁用：不能登录", ru: "отключён: не может войти" },
  ends: {
    en: "All sessions of this user end.",
    zh: "该用户的所有会话都将结束。",
    ru: "Все сеансы этого пользователя завершатся.",
  },
  changed: { en: "{name} is changed.", zh: "{name} 已修改。", ru: "{name}: изменено." },
  deleteOne: { en: "Delete {name}?", zh: "删除 {name}？", ru: "Удалить {name}?" },
  gone: {
    en: "What {name} did stays in the audit log.",
    zh: "{name} 的操作仍保留在审计日志中。",
    ru: "Сделанное пользователем {name} останется в журнале аудита.",
  },
  deleted: { en: "{name} is deleted.", zh: "{name} 已删除。", ru: "{name}: удалён." },
});

/** @param {{onMade: () => void, onClose: () => void}} props */
function NewUser({ onMade, onClose }) {
  const submit = async (/** @type {Record<string, string>} */ fields) => {
    const { name, role } = fields;
    await change("POST", "/api/ota/users", { name, role, password: newPassword(fields) });
    say(t("made", { name }));
    onMade();
  };
  return html`<${FormDialog} title=${t("make")} action=${t("create")} submit=${submit} onClose=${onClose}>
    <${ClosingWarning} />
    <label>${t("name")}<input name="name" required maxlength="100" autocomplete="off" /></label>
    <${RoleField} />
    <${NewPassword} />
  <//>`;
}

/** @param {{user: User, deed: DeedName, onDone: () => void, onClose: () => void}} props */
function DeedDialog({ user, deed, onDone, onClose }) {
  const { name } = user;
  const path = `/api/ota/users/${segment(user.userId)}`;
  const done = (/** @type {any} */ answer, /** @type {string} */ words) => {
    tell(answer, words);
    onDone();
  };
  const edit = async (/** @type {Record<string, unknown>} */ body) =>
    done(await change("PATCH", path, body), t("changed", { name }));
  if (deed === "delete") {
    const submit = async () => done(await change("DELETE", path), t("deleted", { name }));
    return html`<${ConfirmDialog} title=${t("deleteOne", { name })} action=${t("delete")} submit=${submit} onClose=${onClose}>
      ${t("ends")} ${t("gone", { name })}
    <//>`;
  }
  if (deed === "password") {
    const submit = (/** @type {Record<string, string>} */ fields) => edit({ password: newPassword(fields) });
    return html`<${FormDialog} title=${`${t("setPassword")}: ${name}`} action=${t("setPassword")} submit=${submit} onClose=${onClose}>
      <p>${t("ends")}</p>
      <${NewPassword} label=${t("newPassword")} />
    <//>`;
  }
  const submit = (/** @type {Record<string, string>} */ { role, disabled }) => edit({ role, disabled: disabled === "on" });
  return html`<${FormDialog} title=${`${t("change")}: ${name}`} action=${t("change")} submit=${submit} onClose=${onClose}>
    <p>${t("ends")}</p>
    <${RoleField} role=${user.role} />
    <label class="check"><input type="checkbox" name="disabled" defaultChecked=${user.disabled} /> ${t("disabled")}</label>
  <//>`;
}

export function Users() {
  const [making, setMaking] = useState(false);
  const [asked, setAsked] = useState(/** @type {{user: User, deed: DeedName} | null} */ (null));
  const list = useList("/api/ota/users", {}, NO_EVENTS);
  const made = () => {
    closed();
    list.reload();
  };
  const actions = html`<button type="button" class="primary" onClick=${() => setMaking(true)}>${t("make")}</button>`;
  const row = (/** @type {User} */ user) => {
    const deed = (/** @type {DeedName} */ deed, /** @type {string} */ words) =>
      html`<${Deed} words=${words} of=${user.name} danger=${deed === "delete"} onClick=${() => setAsked({ user, deed })} />`;
    return {
      key: user.userId,
      name: user.name,
      cells: [
        roleName(user.role),
        html`<${Status} of=${user.disabled ? "disabled" : "enabled"} />`,
        user.hasPassword ? t("password") : t("provider"),
        html`<${Time} at=${user.createdAt} />`,
      ],
      deeds: html`${deed("change", t("change"))} ${deed("password", t("setPassword"))} ${deed("delete", t("delete"))}`,
    };
  };
  return html`<${Credentials} title=${t("title")} what=${t("what")} none=${t("none")} actions=${actions}
    list=${list} head=${[t("name"), words().role, words().state, t("login"), t("since")]} row=${row}>
    ${making && html`<${NewUser} onMade=${made} onClose=${() => setMaking(false)} />`}
    ${asked && html`<${DeedDialog} ...${asked} onDone=${list.reload} onClose=${() => setAsked(null)} />`}
  <//>`;
}
