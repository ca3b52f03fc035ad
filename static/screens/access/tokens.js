// Tokens of programs, and of people on the command line.

import { html, useState } from "../../vendor/preact.js";
import { change, segment } from "../../core/api.js";
import { translator } from "../../core/words.js";
import { Empty, Section, Shown, Status, Time } from "../../parts/common.js";
import { ConfirmDialog, FormDialog } from "../../parts/dialog.js";
import { More, useList } from "../../parts/list.js";
import { NO_EVENTS } from "../../parts/load.js";
import { EndField, fromLocal } from "../../parts/moment.js";
import { RoleField, roleName } from "../../parts/role.js";
import { SecretDialog } from "../../parts/secret.js";
import { say } from "../../parts/toast.js";
import { closed, ClosingWarning } from "./closing.js";

/** @typedef {import("../../core/types.js").Token} Token */

const t = translator({
  title: { en: "Tokens", zh: "令牌", ru: "Токены" },
  what: {
    en: "For programs, and for people on the command line: Authorization: Bearer alt_…",
    zh: "供程序以及命令行用户使用：Authorization: Bearer alt_…",
    ru: "Для программ и для людей в командной строке: Authorization: Bearer alt_…",
  },
  none: { en: "There is no token.", zh: "没有令牌。", ru: "Токенов нет." },
  make: { en: "New token", zh: "新建令牌", ru: "Новый токен" },
  create: { en: "Make the token", zh: "创建令牌", ru: "Создать токен" },
  token: { en: "Token", zh: "令牌", ru: "Токен" },
  revokedToo: { en: "revoked ones too", zh: "包括已吊销的", ru: "и отозванные" },
  name: { en: "Name", zh: "名称", ru: "Имя" },
  role: { en: "Role", zh: "角色", ru: "Роль" },
  state: { en: "State", zh: "状态", ru: "Состояние" },
  used: { en: "Last used", zh: "上次使用", ru: "Использован" },
  expires: { en: "Expires", zh: "到期", ru: "Истекает" },
  made: { en: "Made", zh: "创建", ru: "Создан" },
  by: { en: "by {name}", zh: "由 {name}", ru: "кем: {name}" },
  deeds: { en: "Actions", zh: "操作", ru: "Действия" },
  revoke: { en: "Revoke", zh: "吊销", ru: "Отозвать" },
  revokeOne: { en: "Revoke {name}?", zh: "吊销 {name}？", ru: "Отозвать {name}?" },
  ends: {
    en: "Whoever uses it is refused at once. It can't be made good again.",
    zh: "使用它的一方将立即被拒绝。此操作无法恢复。",
    ru: "Кто им пользуется, сразу получит отказ. Вернуть его нельзя.",
  },
  revoked: { en: "{name} is revoked.", zh: "{name} 已吊销。", ru: "{name}: отозван." },
});

/** @param {{onMade: (made: any) => void, onClose: () => void}} props */
function NewToken({ onMade, onClose }) {
  const submit = async (/** @type {Record<string, string>} */ { name, role, expiresAt }) =>
    onMade(await change("POST", "/api/ota/tokens", { name, role, expiresAt: fromLocal(expiresAt) }));
  return html`<${FormDialog} title=${t("make")} action=${t("create")} submit=${submit} onClose=${onClose}>
    <${ClosingWarning} />
    <label>${t("name")}<input name="name" required maxlength="100" autocomplete="off" /></label>
    <${RoleField} />
    <${EndField} label=${t("expires")} />
  <//>`;
}

/** @param {{token: Token, onRevoked: () => void, onClose: () => void}} props */
function Revoke({ token, onRevoked, onClose }) {
  const submit = async () => {
    const { warning } = await change("DELETE", `/api/ota/tokens/${segment(token.tokenId)}`);
    say(warning ?? t("revoked", { name: token.name }), warning ? "bad" : "good");
    onRevoked();
  };
  return html`<${ConfirmDialog} title=${t("revokeOne", { name: token.name })} action=${t("revoke")} submit=${submit} onClose=${onClose}>
    ${t("ends")}
  <//>`;
}

/** @param {{tokens: Token[], onRevoke: (token: Token) => void}} props */
const Table = ({ tokens, onRevoke }) => html`<div class="scroll"><table>
  <thead><tr>
    <th scope="col">${t("name")}</th><th scope="col">${t("role")}</th><th scope="col">${t("state")}</th>
    <th scope="col">${t("used")}</th><th scope="col">${t("expires")}</th><th scope="col">${t("made")}</th>
    <th scope="col"><span class="unseen">${t("deeds")}</span></th>
  </tr></thead>
  <tbody>${tokens.map(
    (token) => html`<tr key=${token.tokenId}>
      <th scope="row">${token.name}</th>
      <td>${roleName(token.role)}</td>
      <td><${Status} of=${token.state} /></td>
      <td><${Time} at=${token.lastUsedAt} /></td>
      <td><${Time} at=${token.expiresAt} /></td>
      <td><${Time} at=${token.createdAt} /> <span class="quiet">${t("by", { name: token.createdBy })}</span></td>
      <td class="deeds">${token.state === "good" &&
        html`<button type="button" class="small danger" onClick=${() => onRevoke(token)} aria-label=${`${t("revoke")}: ${token.name}`}>${t("revoke")}</button>`}</td>
    </tr>`,
  )}</tbody>
</table></div>`;

export function Tokens() {
  const [revokedToo, setRevokedToo] = useState(false);
  const [making, setMaking] = useState(false);
  const [made, setMade] = useState(/** @type {any} */ (null));
  const [revoking, setRevoking] = useState(/** @type {Token | null} */ (null));
  const list = useList("/api/ota/tokens", { revoked: revokedToo || undefined }, NO_EVENTS);
  const kept = () => {
    setMade(null);
    closed();
    list.reload();
  };
  const actions = html`<label class="check"><input type="checkbox" checked=${revokedToo} onChange=${() => setRevokedToo(!revokedToo)} /> ${t("revokedToo")}</label>
    <button type="button" class="primary" onClick=${() => setMaking(true)}>${t("make")}</button>`;
  return html`<${Section} title=${t("title")} actions=${actions}>
    <p class="quiet">${t("what")}</p>
    <${Shown} of=${list}>${(/** @type {Token[]} */ tokens) =>
      tokens.length > 0 ? html`<${Table} tokens=${tokens} onRevoke=${setRevoking} />` : html`<${Empty}>${t("none")}<//>`}<//>
    <${More} list=${list} />
    ${making && html`<${NewToken} onMade=${setMade} onClose=${() => setMaking(false)} />`}
    ${made && html`<${SecretDialog} title=${made.name} name=${t("token")} secret=${made.token} onClose=${kept} />`}
    ${revoking && html`<${Revoke} token=${revoking} onRevoked=${list.reload} onClose=${() => setRevoking(null)} />`}
  <//>`;
}
