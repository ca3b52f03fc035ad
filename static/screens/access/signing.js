// The keys whose signatures on bundles are trusted.

import { html } from "../../vendor/preact.js";
import { get } from "../../core/api.js";
import { translator } from "../../core/words.js";
import { Copy, Empty, Section, Shown, Status, Time } from "../../parts/common.js";
import { useLoaded } from "../../parts/load.js";

/** @typedef {import("../../core/types.js").SigningKey} SigningKey */
/** @typedef {import("../../core/types.js").SigningKeys} SigningKeys */

const t = translator({
  title: { en: "Signing keys", zh: "签名密钥", ru: "Ключи подписи" },
  required: {
    en: "Firmware is released and sent only if one of these keys signed it.",
    zh: "只有由以下密钥之一签名的固件才会发布和下发。",
    ru: "Выпускаются и отправляются только прошивки, подписанные одним из этих ключей.",
  },
  free: {
    en: "Firmware without a signature is released and sent, too (--require-signature changes that).",
    zh: "未签名的固件也会发布和下发（可用 --require-signature 更改）。",
    ru: "Выпускаются и отправляются и прошивки без подписи (--require-signature меняет это).",
  },
  none: {
    en: "No key is trusted: the server's operator puts public keys into a folder and names it with --trusted-keys.",
    zh: "没有受信任的密钥：服务器运维人员需将公钥放入目录，并用 --trusted-keys 指定。",
    ru: "Доверенных ключей нет: оператор сервера кладёт открытые ключи в папку и называет её в --trusted-keys.",
  },
  name: { en: "Name", zh: "名称", ru: "Имя" },
  fingerprint: { en: "Fingerprint", zh: "指纹", ru: "Отпечаток" },
  whose: { en: "Whose", zh: "所有者", ru: "Чей" },
  algorithm: { en: "Algorithm", zh: "算法", ru: "Алгоритм" },
  made: { en: "Made", zh: "创建", ru: "Создан" },
  expires: { en: "Expires", zh: "到期", ru: "Истекает" },
});

/** @param {{keys: SigningKey[]}} props */
const Table = ({ keys }) => html`<div class="scroll"><table>
  <thead><tr>
    <th scope="col">${t("name")}</th><th scope="col">${t("fingerprint")}</th><th scope="col">${t("whose")}</th>
    <th scope="col">${t("algorithm")}</th><th scope="col">${t("made")}</th><th scope="col">${t("expires")}</th>
  </tr></thead>
  <tbody>${keys.map(
    (key) => html`<tr key=${key.fingerprint}>
      <th scope="row">${key.name} ${key.revoked && html`<${Status} of="revoked" />`}</th>
      <td><code>${key.fingerprint}</code> <${Copy} text=${key.fingerprint} label=${`${t("fingerprint")} ${key.name}`} /></td>
      <td>${key.userIds.map((userId) => html`<div key=${userId}>${userId}</div>`)}</td>
      <td>${key.algorithm}</td>
      <td><${Time} at=${key.createdAt} /></td>
      <td><${Time} at=${key.expiresAt} /></td>
    </tr>`,
  )}</tbody>
</table></div>`;

export function SigningKeys() {
  const loaded = useLoaded((signal) => get("/api/ota/signing-keys", {}, signal), []);
  return html`<${Section} title=${t("title")}>
    <${Shown} of=${loaded}>${(/** @type {SigningKeys} */ { required, items }) => html`
      <p class="quiet">${required ? t("required") : t("free")}</p>
      ${items.length > 0 ? html`<${Table} keys=${items} />` : html`<${Empty}>${t("none")}<//>`}`}<//>
  <//>`;
}
