// Keys by which a batch of new gateways claims tokens.

import { html, useState } from "../../vendor/preact.js";
import { change, segment } from "../../core/api.js";
import { number } from "../../core/format.js";
import { translator } from "../../core/words.js";
import { Bar, Empty, Section, Shown, Status, Time } from "../../parts/common.js";
import { ConfirmDialog, FormDialog } from "../../parts/dialog.js";
import { More, useList } from "../../parts/list.js";
import { EndField, fromLocal } from "../../parts/moment.js";
import { SecretDialog } from "../../parts/secret.js";
import { say } from "../../parts/toast.js";
import { closed, ClosingWarning } from "./closing.js";

/** @typedef {import("../../core/types.js").ProvisioningKey} Key */

const t = translator({
  title: { en: "Provisioning keys", zh: "配置密钥", ru: "Ключи подготовки" },
  what: {
    en: "For a whole batch of devices: each claims a token of its own with the key, and nothing else. Give a key a limit and an end.",
    zh: "用于整批设备：每台设备凭此密钥领取自己的令牌，除此之外没有任何权限。请设置数量上限和到期时间。",
    ru: "Для целой партии устройств: с ключом каждое получает свой токен, и больше ничего. Задайте ключу предел и срок.",
  },
  none: { en: "There is no provisioning key.", zh: "没有配置密钥。", ru: "Ключей подготовки нет." },
  make: { en: "New key", zh: "新建密钥", ru: "Новый ключ" },
  create: { en: "Make the key", zh: "创建密钥", ru: "Создать ключ" },
  key: { en: "Provisioning key", zh: "配置密钥", ru: "Ключ подготовки" },
  name: { en: "Name", zh: "名称", ru: "Имя" },
  state: { en: "State", zh: "状态", ru: "Состояние" },
  claims: { en: "Claims", zh: "已领取", ru: "Получено" },
  ofMax: { en: "{claims} of {max}", zh: "{claims} / {max}", ru: "{claims} из {max}" },
  claimsMax: { en: "So many gateways at most", zh: "网关数量上限", ru: "Не больше шлюзов, чем" },
  deviceType: { en: "Device type", zh: "设备类型", ru: "Тип устройства" },
  onlyType: { en: "Only gateways of this device type", zh: "仅限此设备类型的网关", ru: "Только шлюзы этого типа" },
  any: { en: "any", zh: "任意", ru: "любой" },
  expires: { en: "Expires", zh: "到期", ru: "Истекает" },
  made: { en: "Made", zh: "创建", ru: "Создан" },
  by: { en: "by {name}", zh: "由 {name}", ru: "кем: {name}" },
  deeds: { en: "Actions", zh: "操作", ru: "Действия" },
  revoke: { en: "Revoke", zh: "吊销", ru: "Отозвать" },
  revokeOne: { en: "Revoke {name}?", zh: "吊销 {name}？", ru: "Отозвать {name}?" },
  ends: {
    en: "Nobody can claim with it any more. Gateways that have claimed keep their tokens.",
    zh: "此后无法再用它领取令牌。已领取的网关保留各自的令牌。",
    ru: "С ним больше нельзя получить токен. Шлюзы, получившие токены, сохранят их.",
  },
  revoked: { en: "{name} is revoked.", zh: "{name} 已吊销。", ru: "{name}: отозван." },
});

/** @param {Key} key */
function state({ revokedAt, expiresAt, claims, claimsMax }) {
  if (revokedAt) {
    return "revoked";
  }
  if (expiresAt && Date.parse(expiresAt) <= Date.now()) {
    return "expired";
  }
  return claimsMax !== null && claimsMax !== undefined && claims >= claimsMax ? "used_up" : "good";
}

/** @param {{onMade: (made: any) => void, onClose: () => void}} props */
function NewKey({ onMade, onClose }) {
  const submit = async (/** @type {Record<string, string>} */ { name, claimsMax, deviceType, expiresAt }) =>
    onMade(
      await change("POST", "/api/ota/provisioning-keys", {
        name,
        claimsMax: claimsMax ? Number(claimsMax) : undefined,
        deviceType: deviceType || undefined,
        expiresAt: fromLocal(expiresAt),
      }),
    );
  return html`<${FormDialog} title=${t("make")} action=${t("create")} submit=${submit} onClose=${onClose}>
    <${ClosingWarning} />
    <label>${t("name")}<input name="name" required maxlength="100" autocomplete="off" /></label>
    <label>${t("claimsMax")}<input name="claimsMax" type="number" min="1" max="1000000000" /></label>
    <label>${t("onlyType")}<input name="deviceType" autocomplete="off" /></label>
    <${EndField} label=${t("expires")} />
  <//>`;
}

/** @param {{of: Key, onRevoked: () => void, onClose: () => void}} props */
function Revoke({ of: key, onRevoked, onClose }) {
  const submit = async () => {
    await change("DELETE", `/api/ota/provisioning-keys/${segment(key.keyId)}`);
    say(t("revoked", { name: key.name }));
    onRevoked();
  };
  return html`<${ConfirmDialog} title=${t("revokeOne", { name: key.name })} action=${t("revoke")} submit=${submit} onClose=${onClose}>
    ${t("ends")}
  <//>`;
}

/** @param {{of: Key}} props */
const Claims = ({ of: { name, claims, claimsMax } }) =>
  claimsMax
    ? html`${t("ofMax", { claims, max: claimsMax })}
        <${Bar} value=${claims} max=${claimsMax} label=${`${t("claims")}: ${name}`} />`
    : number(claims);

/** @param {{keys: Key[], onRevoke: (key: Key) => void}} props */
const Table = ({ keys, onRevoke }) => html`<div class="scroll"><table>
  <thead><tr>
    <th scope="col">${t("name")}</th><th scope="col">${t("state")}</th><th scope="col">${t("claims")}</th>
    <th scope="col">${t("deviceType")}</th><th scope="col">${t("expires")}</th><th scope="col">${t("made")}</th>
    <th scope="col"><span class="unseen">${t("deeds")}</span></th>
  </tr></thead>
  <tbody>${keys.map(
    (key) => html`<tr key=${key.keyId}>
      <th scope="row">${key.name}</th>
      <td><${Status} of=${state(key)} /></td>
      <td><${Claims} of=${key} /></td>
      <td>${key.deviceType ?? t("any")}</td>
      <td><${Time} at=${key.expiresAt} /></td>
      <td><${Time} at=${key.createdAt} /> <span class="quiet">${t("by", { name: key.createdBy })}</span></td>
      <td class="deeds">${!key.revokedAt &&
        html`<button type="button" class="small danger" onClick=${() => onRevoke(key)} aria-label=${`${t("revoke")}: ${key.name}`}>${t("revoke")}</button>`}</td>
    </tr>`,
  )}</tbody>
</table></div>`;

export function ProvisioningKeys() {
  const [making, setMaking] = useState(false);
  const [made, setMade] = useState(/** @type {any} */ (null));
  const [revoking, setRevoking] = useState(/** @type {Key | null} */ (null));
  // Who has claimed is heard of soon, but not while a secret is shown that a login would lose.
  const list = useList("/api/ota/provisioning-keys", {}, { kinds: made ? [] : ["gateway"] });
  const kept = () => {
    setMade(null);
    closed();
    list.reload();
  };
  const actions = html`<button type="button" class="primary" onClick=${() => setMaking(true)}>${t("make")}</button>`;
  return html`<${Section} title=${t("title")} actions=${actions}>
    <p class="quiet">${t("what")}</p>
    <${Shown} of=${list}>${(/** @type {Key[]} */ keys) =>
      keys.length > 0 ? html`<${Table} keys=${keys} onRevoke=${setRevoking} />` : html`<${Empty}>${t("none")}<//>`}<//>
    <${More} list=${list} />
    ${making && html`<${NewKey} onMade=${setMade} onClose=${() => setMaking(false)} />`}
    ${made && html`<${SecretDialog} title=${made.name} name=${t("key")} secret=${made.key} onClose=${kept} />`}
    ${revoking && html`<${Revoke} of=${revoking} onRevoked=${list.reload} onClose=${() => setRevoking(null)} />`}
  <//>`;
}
