// Gateways' own tokens.

import { html, useState } from "../../vendor/preact.js";
import { change, get, segment, sendCsv } from "../../core/api.js";
import { time } from "../../core/format.js";
import { link } from "../../core/router.js";
import { translator } from "../../core/words.js";
import { Empty, Section, Shown, Status, Time } from "../../parts/common.js";
import { ConfirmDialog, Dialog, FormDialog } from "../../parts/dialog.js";
import { More, useList } from "../../parts/list.js";
import { NO_EVENTS, useLoaded, useSettled } from "../../parts/load.js";
import { SecretDialog } from "../../parts/secret.js";
import { say } from "../../parts/toast.js";
import { closed, ClosingWarning } from "./closing.js";

/** @typedef {import("../../core/types.js").GatewayToken} GatewayToken */

const t = translator({
  title: { en: "Gateway tokens", zh: "网关令牌", ru: "Токены шлюзов" },
  what: {
    en: "A gateway's token is its MQTT password and its bearer token over HTTP. It opens that gateway's own doors alone.",
    zh: "网关令牌既是其 MQTT 密码，也是 HTTP 的 Bearer 令牌，只能用于该网关自身。",
    ru: "Токен шлюза – его пароль MQTT и bearer-токен в HTTP. Он открывает только двери этого шлюза.",
  },
  none: { en: "There is no gateway token.", zh: "没有网关令牌。", ru: "Токенов шлюзов нет." },
  only: { en: "Gateway id", zh: "网关 ID", ru: "Id шлюза" },
  gateway: { en: "Gateway", zh: "网关", ru: "Шлюз" },
  state: { en: "State", zh: "状态", ru: "Состояние" },
  used: { en: "Last used", zh: "上次使用", ru: "Использован" },
  ends: { en: "Ends", zh: "到期", ru: "Истекает" },
  made: { en: "Made", zh: "创建", ru: "Создан" },
  by: { en: "by {name}", zh: "由 {name}", ru: "кем: {name}" },
  deeds: { en: "Actions", zh: "操作", ru: "Действия" },
  issue: { en: "New token", zh: "新建令牌", ru: "Новый токен" },
  rotate: { en: "Exchange", zh: "更换", ru: "Заменить" },
  token: { en: "Token", zh: "令牌", ru: "Токен" },
  create: { en: "Make the token", zh: "创建令牌", ru: "Создать токен" },
  first: { en: "its first", zh: "首个令牌", ru: "первый" },
  rotation: { en: "in exchange for the present one", zh: "替换现有令牌", ru: "взамен нынешнего" },
  which: { en: "Which", zh: "类型", ru: "Какой" },
  grace: {
    en: "Hours for which the old one stays good, unless the new one is used before",
    zh: "旧令牌继续有效的小时数（新令牌首次使用后立即失效）",
    ru: "Сколько часов действует старый, если новый не используют раньше",
  },
  oldUntil: {
    en: "The old token is good until {at}, unless the new one is used before.",
    zh: "旧令牌有效至 {at}，新令牌首次使用后立即失效。",
    ru: "Старый токен действует до {at}, если новый не используют раньше.",
  },
  revoke: { en: "Revoke", zh: "吊销", ru: "Отозвать" },
  revokeOne: { en: "Shut {name} out?", zh: "禁止 {name} 访问？", ru: "Закрыть доступ для {name}?" },
  shutOut: {
    en: "All of its tokens end at once, its connection and its downloads too. It can't claim another until an administrator makes one.",
    zh: "它的所有令牌、连接和下载会立即终止。在管理员为其新建令牌之前，它无法再次领取。",
    ru: "Все его токены, соединение и загрузки сразу прекратятся. Получить новый он не сможет, пока его не создаст администратор.",
  },
  revoked: {
    en: { one: "{name}: {count} token revoked.", other: "{name}: {count} tokens revoked." },
    zh: "{name}：已吊销 {count} 个令牌。",
    ru: { one: "{name}: отозван {count} токен.", few: "{name}: отозвано {count} токена.", other: "{name}: отозвано {count} токенов." },
  },
  bulk: { en: "Tokens for a list", zh: "批量创建", ru: "Токены по списку" },
  file: { en: "CSV file", zh: "CSV 文件", ru: "Файл CSV" },
  fileHelp: {
    en: "Its first line names the columns, and the first column is gatewayId. All of them get tokens, or none does.",
    zh: "第一行为列名，第一列为 gatewayId。要么全部创建成功，要么一个也不创建。",
    ru: "В первой строке имена столбцов, первый столбец – gatewayId. Токены получат либо все, либо никто.",
  },
  createAll: { en: "Make the tokens", zh: "创建令牌", ru: "Создать токены" },
  allMade: {
    en: { one: "{count} token is made", other: "{count} tokens are made" },
    zh: "已创建 {count} 个令牌",
    ru: { one: "Создан {count} токен", few: "Создано {count} токена", other: "Создано {count} токенов" },
  },
  onceFile: {
    en: "Save this file now: the tokens are shown this once, and the server knows their digests alone.",
    zh: "请立即保存此文件：令牌只提供这一次，服务器只保留其摘要。",
    ru: "Сохраните файл сейчас: токены показаны один раз, сервер хранит только их хеши.",
  },
  save: { en: "Save tokens.csv", zh: "保存 tokens.csv", ru: "Сохранить tokens.csv" },
  kept: { en: "I have kept it", zh: "我已保存", ru: "Я сохранил его" },
});

/** @param {GatewayToken} token */
function state({ revokedAt, expiresAt }) {
  if (revokedAt) {
    return "revoked";
  }
  return expiresAt && Date.parse(expiresAt) <= Date.now() ? "expired" : "good";
}

/** @param {{gatewayId: string, rotates: boolean, onMade: (made: any) => void, onClose: () => void}} props */
function NewToken({ gatewayId, rotates, onMade, onClose }) {
  const [issue, setIssue] = useState(rotates ? "rotation" : "first");
  const submit = async (/** @type {Record<string, string>} */ { gatewayId, graceHours }) => {
    const graceSeconds = issue === "rotation" ? Math.round(Number(graceHours) * 3600) : undefined;
    onMade(await change("POST", `/api/ota/gateways/${segment(gatewayId)}/token`, { issue, graceSeconds }));
  };
  return html`<${FormDialog} title=${t("issue")} action=${t("create")} submit=${submit} onClose=${onClose}>
    <${ClosingWarning} />
    <label>${t("only")}<input name="gatewayId" required defaultValue=${gatewayId} autocomplete="off" /></label>
    <label>${t("which")}
      <select value=${issue} onChange=${(/** @type {any} */ event) => setIssue(event.target.value)}>
        <option value="first">${t("first")}</option>
        <option value="rotation">${t("rotation")}</option>
      </select>
    </label>
    ${issue === "rotation" &&
    html`<label>${t("grace")}<input name="graceHours" type="number" min="0" max="168" step="any" defaultValue="168" required /></label>`}
  <//>`;
}

/** @param {{onMade: (csv: string) => void, onClose: () => void}} props */
function NewTokens({ onMade, onClose }) {
  const submit = async (/** @type {Record<string, any>} */ { file }) => onMade(await sendCsv("/api/ota/gateways/tokens", file));
  return html`<${FormDialog} title=${t("bulk")} action=${t("createAll")} submit=${submit} onClose=${onClose}>
    <${ClosingWarning} />
    <label>${t("file")}<input name="file" type="file" accept=".csv,text/csv" required /></label>
    <p class="help">${t("fileHelp")}</p>
  <//>`;
}

/** @param {{csv: string, onClose: () => void}} props */
function TokensFile({ csv, onClose }) {
  const [address] = useState(() => URL.createObjectURL(new Blob([csv], { type: "text/csv" })));
  const close = () => {
    URL.revokeObjectURL(address);
    onClose();
  };
  const count = csv.trim().split("\n").length - 1;
  return html`<${Dialog} title=${t("allMade", { count })} onClose=${close}>
    <div class="fields">
      <p class="notice">${t("onceFile")}</p>
      <div class="actions">
        <a class="button" href=${address} download="tokens.csv">${t("save")}</a>
        <button type="button" class="primary" onClick=${close}>${t("kept")}</button>
      </div>
    </div>
  <//>`;
}

/** @param {{gatewayId: string, onRevoked: () => void, onClose: () => void}} props */
function Revoke({ gatewayId, onRevoked, onClose }) {
  const submit = async () => {
    const { revoked } = await change("DELETE", `/api/ota/gateways/${segment(gatewayId)}/token`);
    say(t("revoked", { name: gatewayId, count: revoked }));
    onRevoked();
  };
  return html`<${ConfirmDialog} title=${t("revokeOne", { name: gatewayId })} action=${t("revoke")} submit=${submit} onClose=${onClose}>
    ${t("shutOut")}
  <//>`;
}

/** @param {{tokens: GatewayToken[], onRotate: (gatewayId: string) => void, onRevoke: (gatewayId: string) => void}} props */
const Table = ({ tokens, onRotate, onRevoke }) => html`<div class="scroll"><table>
  <thead><tr>
    <th scope="col">${t("gateway")}</th><th scope="col">${t("state")}</th><th scope="col">${t("used")}</th>
    <th scope="col">${t("ends")}</th><th scope="col">${t("made")}</th>
    <th scope="col"><span class="unseen">${t("deeds")}</span></th>
  </tr></thead>
  <tbody>${tokens.map(
    (token) => html`<tr key=${token.tokenId}>
      <th scope="row"><a href=${link(["gateways", token.gatewayId])}>${token.gatewayId}</a></th>
      <td><${Status} of=${state(token)} /></td>
      <td><${Time} at=${token.lastUsedAt} /></td>
      <td><${Time} at=${token.expiresAt} /></td>
      <td><${Time} at=${token.createdAt} /> <span class="quiet">${t("by", { name: token.createdBy })}</span></td>
      <td class="deeds">${state(token) === "good" &&
        html`<button type="button" class="small" onClick=${() => onRotate(token.gatewayId)} aria-label=${`${t("rotate")}: ${token.gatewayId}`}>${t("rotate")}</button>
          <button type="button" class="small danger" onClick=${() => onRevoke(token.gatewayId)} aria-label=${`${t("revoke")}: ${token.gatewayId}`}>${t("revoke")}</button>`}</td>
    </tr>`,
  )}</tbody>
</table></div>`;

/** @param {string} only the gateway whose tokens to list; of all if empty */
function useTokens(only) {
  const all = useList("/api/ota/gateways/tokens", {}, NO_EVENTS);
  const one = useLoaded(
    async (signal) => only && get(`/api/ota/gateways/${segment(only)}/tokens`, {}, signal),
    [only],
  );
  return only ? { ...one, more: null } : all;
}

export function GatewayTokens() {
  const [only, setOnly] = useState("");
  const [making, setMaking] = useState(/** @type {{gatewayId: string, rotates: boolean} | null} */ (null));
  const [made, setMade] = useState(/** @type {any} */ (null));
  const [bulk, setBulk] = useState(false);
  const [csv, setCsv] = useState(/** @type {string | null} */ (null));
  const [revoking, setRevoking] = useState(/** @type {string | null} */ (null));
  const list = useTokens(useSettled(only.trim()));
  const kept = () => {
    setMade(null);
    setCsv(null);
    closed();
    list.reload();
  };
  const actions = html`<button type="button" onClick=${() => setBulk(true)}>${t("bulk")}</button>
    <button type="button" class="primary" onClick=${() => setMaking({ gatewayId: only.trim(), rotates: false })}>${t("issue")}</button>`;
  return html`<${Section} title=${t("title")} actions=${actions}>
    <p class="quiet">${t("what")}</p>
    <div class="row"><label>${t("only")} <input type="search" value=${only} onInput=${(/** @type {any} */ event) => setOnly(event.target.value)} /></label></div>
    <${Shown} of=${list}>${(/** @type {GatewayToken[]} */ tokens) =>
      tokens.length > 0
        ? html`<${Table} tokens=${tokens} onRevoke=${setRevoking}
            onRotate=${(/** @type {string} */ gatewayId) => setMaking({ gatewayId, rotates: true })} />`
        : html`<${Empty}>${t("none")}<//>`}<//>
    <${More} list=${list} />
    ${making && html`<${NewToken} ...${making} onMade=${setMade} onClose=${() => setMaking(null)} />`}
    ${made &&
    html`<${SecretDialog} title=${made.gatewayId} name=${t("token")} secret=${made.token} onClose=${kept}>
      ${made.predecessorEndsAt && html`<p>${t("oldUntil", { at: time(made.predecessorEndsAt) })}</p>`}
    <//>`}
    ${bulk && html`<${NewTokens} onMade=${setCsv} onClose=${() => setBulk(false)} />`}
    ${csv !== null && html`<${TokensFile} csv=${csv} onClose=${kept} />`}
    ${revoking && html`<${Revoke} gatewayId=${revoking} onRevoked=${list.reload} onClose=${() => setRevoking(null)} />`}
  <//>`;
}
