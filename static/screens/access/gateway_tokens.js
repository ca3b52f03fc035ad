// Gateways' own tokens.

import { html, useState } from "../../vendor/preact.js";
import { change, get, segment, sendCsv } from "../../core/api.js";
import { time } from "../../core/format.js";
import { link } from "../../core/router.js";
import { translator } from "../../core/words.js";
import { Time } from "../../parts/common.js";
import { Dialog, FormDialog } from "../../parts/dialog.js";
import { useList } from "../../parts/list.js";
import { NO_EVENTS, useLoaded, useSettled } from "../../parts/load.js";
import { ClosingWarning } from "./closing.js";
import { Credentials, Deed, Made, Revoke, RevokeButton, State, stateOf, useMade, words } from "./credentials.js";

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
  const [bulk, setBulk] = useState(false);
  const [revoking, setRevoking] = useState(/** @type {string | null} */ (null));
  const list = useTokens(useSettled(only.trim()));
  const { made, setMade, kept, dialog } = useMade(list);
  const actions = html`<button type="button" onClick=${() => setBulk(true)}>${t("bulk")}</button>
    <button type="button" class="primary" onClick=${() => setMaking({ gatewayId: only.trim(), rotates: false })}>${t("issue")}</button>`;
  const { state, used, expires, made: since } = words();
  const row = (/** @type {GatewayToken} */ token) => ({
    key: token.tokenId,
    name: html`<a href=${link(["gateways", token.gatewayId])}>${token.gatewayId}</a>`,
    cells: [
      html`<${State} of=${token} />`,
      html`<${Time} at=${token.lastUsedAt} />`,
      html`<${Time} at=${token.expiresAt} />`,
      html`<${Made} of=${token} />`,
    ],
    deeds:
      stateOf(token) === "good" &&
      html`<${Deed} words=${t("rotate")} of=${token.gatewayId} onClick=${() => setMaking({ gatewayId: token.gatewayId, rotates: true })} />
        <${RevokeButton} of=${token.gatewayId} onClick=${() => setRevoking(token.gatewayId)} />`,
  });
  return html`<${Credentials} title=${t("title")} what=${t("what")} none=${t("none")} actions=${actions}
    list=${list} head=${[t("gateway"), state, used, expires, since]} row=${row}>
    <div class="row"><label>${t("only")} <input type="search" value=${only} onInput=${(/** @type {any} */ event) => setOnly(event.target.value)} /></label></div>
    ${making && html`<${NewToken} ...${making} onMade=${setMade} onClose=${() => setMaking(null)} />`}
    ${made?.token &&
    dialog(made.gatewayId, t("token"), made.token, made.predecessorEndsAt && html`<p>${t("oldUntil", { at: time(made.predecessorEndsAt) })}</p>`)}
    ${bulk && html`<${NewTokens} onMade=${(/** @type {string} */ csv) => setMade({ csv })} onClose=${() => setBulk(false)} />`}
    ${made?.csv && html`<${TokensFile} csv=${made.csv} onClose=${kept} />`}
    ${revoking &&
    html`<${Revoke} name=${revoking} path=${`/api/ota/gateways/${segment(revoking)}/token`} title=${t("revokeOne", { name: revoking })}
      ends=${t("shutOut")} done=${(/** @type {{revoked: number}} */ { revoked }) => t("revoked", { name: revoking, count: revoked })}
      onRevoked=${list.reload} onClose=${() => setRevoking(null)} />`}
  <//>`;
}
