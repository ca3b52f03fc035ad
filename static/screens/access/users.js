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

const t = translator("access/users");

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
