// Which gateways are listed: the filter's text, and buttons that write terms into it.

import { html, useId } from "../../vendor/preact.js";
import { number } from "../../core/format.js";
import { translator } from "../../core/words.js";
import { has, put, valueOf } from "./terms.js";

const t = translator("gateways/filter");

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
