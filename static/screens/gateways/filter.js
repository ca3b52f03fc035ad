// Which gateways are listed: the filter's text, and buttons that write terms into it.

import { html, useId } from "../../vendor/preact.js";
import { number } from "../../core/format.js";
import { translator } from "../../core/words.js";
import { has, put, valueOf } from "./terms.js";

const t = translator({
  filter: { en: "Filter", zh: "筛选", ru: "Фильтр" },
  quick: { en: "Quick filters", zh: "快捷筛选", ru: "Быстрые фильтры" },
  online: { en: "Online", zh: "在线", ru: "В сети" },
  offline: { en: "Offline", zh: "离线", ru: "Не в сети" },
  deviceType: { en: "Device type", zh: "设备类型", ru: "Тип устройства" },
  anyType: { en: "all device types", zh: "所有设备类型", ru: "все типы устройств" },
  older: { en: "Needs upgrade: below {version}", zh: "需要升级：低于 {version}", ru: "Пора обновить: ниже {version}" },
  unknown: { en: "Version unknown", zh: "版本未知", ru: "Версия неизвестна" },
  clear: { en: "Clear", zh: "清除", ru: "Очистить" },
  how: { en: "How to filter", zh: "如何筛选", ru: "Как фильтровать" },
  rule: {
    en: "Terms are separated by blanks; all of them must hold.",
    zh: "条件以空格分隔，必须全部满足。",
    ru: "Условия разделяются пробелами; выполняться должны все.",
  },
  tag: { en: "with this tag of this value", zh: "带有此值的标签", ru: "с меткой и этим её значением" },
  tagQuoted: { en: "a value with blanks", zh: "带空格的值", ru: "значение с пробелами" },
  tagAny: { en: "with this tag, whatever its value", zh: "带有此标签，值不限", ru: "с меткой, каким бы ни было значение" },
  version: { en: "by version; also <= = != >= >", zh: "按版本；还有 <= = != >= >", ru: "по версии; также <= = != >= >" },
  versionUnknown: {
    en: "never said their version, or one that is not SemVer",
    zh: "从未报告版本，或版本不符合 SemVer",
    ru: "версия не сообщена или не по SemVer",
  },
  onlineTerm: { en: "connected or not", zh: "是否已连接", ru: "на связи или нет" },
  typeTerm: { en: "of this device type", zh: "属于此设备类型", ru: "этого типа устройств" },
  idTerm: { en: "of this id, or whose id begins so", zh: "此 ID，或以此开头的 ID", ru: "с этим ID или с таким его началом" },
});

/** @typedef {{total: number, online: number, needUpgrade: number, deviceTypes: {deviceType: string, total: number, latestVersion: string | null}[]}} Counts */

const EXAMPLES = /** @type {const} */ ([
  ["tag:site=lab", "tag"],
  ['tag:site="north lab"', "tagQuoted"],
  ["tag:site", "tagAny"],
  ["version<1.0.2", "version"],
  ["version:unknown", "versionUnknown"],
  ["online:true", "onlineTerm"],
  ["type:esp32", "typeTerm"],
  ["id:HQ2026*", "idTerm"],
]);

/** @param {{filter: string, beginning: string, term: string, onFilter: (filter: string) => void, children?: any}} props */
function Toggle({ filter, beginning, term, onFilter, children }) {
  const on = has(filter, term);
  return html`<button type="button" class="chip" aria-pressed=${on} onClick=${() => onFilter(put(filter, beginning, on ? "" : term))}>
    ${children}
  </button>`;
}

/** @param {{filter: string, counts: Counts | null, onFilter: (filter: string) => void}} props */
function Quick({ filter, counts, onFilter }) {
  const types = counts?.deviceTypes ?? [];
  const chosen = valueOf(filter, "type:");
  const only = types.length === 1 ? types[0] : types.find(({ deviceType }) => deviceType === chosen);
  const toggle = { filter, onFilter };
  return html`<div class="row" role="group" aria-label=${t("quick")}>
    <${Toggle} ...${toggle} beginning="online:" term="online:true">${t("online")} <b>${counts && number(counts.online)}</b><//>
    <${Toggle} ...${toggle} beginning="online:" term="online:false">${t("offline")} <b>${counts && number(counts.total - counts.online)}</b><//>
    ${only?.latestVersion &&
    html`<${Toggle} ...${toggle} beginning="version" term=${`version<${only.latestVersion}`}>${t("older", { version: only.latestVersion })}<//>`}
    <${Toggle} ...${toggle} beginning="version" term="version:unknown">${t("unknown")}<//>
    ${(types.length > 1 || chosen) &&
    html`<select aria-label=${t("deviceType")} value=${chosen}
        onChange=${(/** @type {any} */ event) => onFilter(put(filter, "type:", event.target.value && `type:${event.target.value}`))}>
      <option value="">${t("anyType")}</option>
      ${types.map(({ deviceType, total }) => html`<option key=${deviceType} value=${deviceType}>${deviceType} (${number(total)})</option>`)}
      ${chosen && !types.some(({ deviceType }) => deviceType === chosen) && html`<option value=${chosen}>${chosen}</option>`}
    </select>`}
  </div>`;
}

/** @param {{filter: string, onFilter: (filter: string) => void}} props */
const Help = ({ filter, onFilter }) => html`<details class="filter-help">
  <summary>${t("how")}</summary>
  <p class="quiet">${t("rule")}</p>
  <ul>
    ${EXAMPLES.map(
      ([term, meaning]) => html`<li key=${term}>
        <button type="button" class="small mono" onClick=${() => onFilter(`${filter} ${term}`.trim())}>${term}</button>
        ${" "}${t(/** @type {any} */ (meaning))}
      </li>`,
    )}
  </ul>
</details>`;

/**
 * @param {{filter: string, counts: Counts | null, error: Error | null, onFilter: (filter: string) => void}} props
 */
export function Filter({ filter, counts, error, onFilter }) {
  const problem = useId();
  return html`<div class="fleet-filter" role="search">
    <div class="row">
      <label class="filter-text">${t("filter")}
        <input type="search" class="mono" value=${filter} spellcheck=${false} autocomplete="off" autocapitalize="off" maxlength="1024"
          placeholder="tag:site=lab version<1.0.2 online:true" aria-invalid=${error !== null} aria-describedby=${problem}
          onInput=${(/** @type {any} */ event) => onFilter(event.target.value)} />
      </label>
      ${filter && html`<button type="button" onClick=${() => onFilter("")}>${t("clear")}</button>`}
    </div>
    <div id=${problem} role="alert">${error && html`<p class="problem">${error.message}</p>`}</div>
    <${Quick} filter=${filter} counts=${counts} onFilter=${onFilter} />
    <${Help} filter=${filter} onFilter=${onFilter} />
  </div>`;
}
