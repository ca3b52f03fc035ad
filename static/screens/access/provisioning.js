// Keys by which a batch of new gateways claims tokens.

import { html, useState } from "../../vendor/preact.js";
import { change, currentSession, segment } from "../../core/api.js";
import { number } from "../../core/format.js";
import { translator } from "../../core/words.js";
import { Bar, Time } from "../../parts/common.js";
import { FormDialog } from "../../parts/dialog.js";
import { useList } from "../../parts/list.js";
import { NO_EVENTS } from "../../parts/load.js";
import { EndField, fromLocal } from "../../parts/moment.js";
import { ClosingWarning } from "./closing.js";
import { Credentials, Made, Revoke, RevokeButton, State, useMade, words } from "./credentials.js";

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
  claims: { en: "Claims", zh: "已领取", ru: "Получено" },
  ofMax: { en: "{claims} of {max}", zh: "{claims} / {max}", ru: "{claims} из {max}" },
  claimsMax: { en: "So many gateways at most", zh: "网关数量上限", ru: "Не больше шлюзов, чем" },
  deviceType: { en: "Device type", zh: "设备类型", ru: "Тип устройства" },
  onlyType: { en: "Only gateways of this device type", zh: "仅限此设备类型的网关", ru: "Только шлюзы этого типа" },
  any: { en: "any", zh: "任意", ru: "любой" },
  ends: {
    en: "Nobody can claim with it any more. Gateways that have claimed keep their tokens.",
    zh: "此后无法再用它领取令牌。已领取的网关保留各自的令牌。",
    ru: "С ним больше нельзя получить токен. Шлюзы, получившие токены, сохранят их.",
  },
});

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
    <label>${words().name}<input name="name" required maxlength="100" autocomplete="off" /></label>
    <label>${t("claimsMax")}<input name="claimsMax" type="number" min="1" max="1000000000" /></label>
    <label>${t("onlyType")}<input name="deviceType" autocomplete="off" /></label>
    <${EndField} label=${words().expires} />
  <//>`;
}

/** @param {{of: Key}} props */
const Claims = ({ of: { name, claims, claimsMax } }) =>
  claimsMax
    ? html`${t("ofMax", { claims, max: claimsMax })}
        <${Bar} value=${claims} max=${claimsMax} label=${`${t("claims")}: ${name}`} />`
    : number(claims);

export function ProvisioningKeys() {
  const [making, setMaking] = useState(false);
  const [revoking, setRevoking] = useState(/** @type {Key | null} */ (null));
  // Who has claimed is heard of; on an open server nothing may load while a secret is shown that a login would lose.
  const list = useList("/api/ota/provisioning-keys", {}, currentSession().open ? NO_EVENTS : { kinds: ["gateway"] });
  const { made, setMade, dialog } = useMade(list);
  const actions = html`<button type="button" class="primary" onClick=${() => setMaking(true)}>${t("make")}</button>`;
  const { name, state, expires, made: since } = words();
  const row = (/** @type {Key} */ key) => ({
    key: key.keyId,
    name: key.name,
    cells: [
      html`<${State} of=${key} usedUp=${key.claims >= (key.claimsMax ?? Infinity)} />`,
      html`<${Claims} of=${key} />`,
      key.deviceType ?? t("any"),
      html`<${Time} at=${key.expiresAt} />`,
      html`<${Made} of=${key} />`,
    ],
    deeds: !key.revokedAt && html`<${RevokeButton} of=${key.name} onClick=${() => setRevoking(key)} />`,
  });
  return html`<${Credentials} title=${t("title")} what=${t("what")} none=${t("none")} actions=${actions}
    list=${list} head=${[name, state, t("claims"), t("deviceType"), expires, since]} row=${row}>
    ${making && html`<${NewKey} onMade=${setMade} onClose=${() => setMaking(false)} />`}
    ${made && dialog(made.name, t("key"), made.key)}
    ${revoking &&
    html`<${Revoke} name=${revoking.name} path=${`/api/ota/provisioning-keys/${segment(revoking.keyId)}`} ends=${t("ends")}
      onRevoked=${list.reload} onClose=${() => setRevoking(null)} />`}
  <//>`;
}
