// Which versions each device type runs: a bar, and the figures beside it.

import { html, useState } from "../../vendor/preact.js";
import { number, percent } from "../../core/format.js";
import { link } from "../../core/router.js";
import { translator } from "../../core/words.js";
import { Section } from "../../parts/common.js";

const t = translator("overview/versions");

/** @typedef {{version: string | null, total: number, online: number}} VersionCount */
/** @typedef {{deviceType: string, total: number, online: number, needUpgrade: number, latestVersion: string | null, versions: VersionCount[]}} TypeCounts */

const COLOURS = 5;
const ROWS_FIRST = 6;
const TYPES_FIRST = 8;
/** A part's own name is written into it from this share of the bar on. */
const NAMED_FROM = 0.14;

/** As the filter of the list sees versions. */
const SEMVER = /^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$/;

/** @param {string} deviceType @param {string | null} version */
function listed(deviceType, version) {
  const term = version !== null && SEMVER.test(version) ? `version=${version}` : "version:unknown";
  return link(["gateways"], { filter: `type:${deviceType} ${term}` });
}

/** The look of each version in the bar: those of most gateways have a colour of their own. @param {VersionCount[]} versions */
function looks(versions) {
  const named = versions.filter(({ version }) => version !== null).sort((one, other) => other.total - one.total);
  const coloured = new Set(named.slice(0, COLOURS).map(({ version }) => version));
  let next = 1;
  return versions.map(({ version }) => (version === null ? "unknown" : coloured.has(version) ? String(next++) : "others"));
}

/** @param {{of: TypeCounts}} props */
function Stack({ of: { versions, total } }) {
  const look = looks(versions);
  const others = versions.filter((_, index) => look[index] === "others").reduce((sum, { total }) => sum + total, 0);
  const parts = versions
    .map(({ version, total }, index) => ({ name: version ?? t("unknown"), total, look: look[index] }))
    .filter(({ look }) => look !== "others");
  if (others > 0) {
    parts.push({ name: t("others"), total: others, look: "others" });
  }
  return html`<div class="version-bar" aria-hidden="true">
    ${parts.map(
      (part) => html`<span key=${part.look} data-look=${part.look} style=${{ flexGrow: part.total }} title=${`${part.name}: ${number(part.total)}`}>
        ${part.total / total >= NAMED_FROM && part.name}
      </span>`,
    )}
  </div>`;
}

/** @param {{of: TypeCounts}} props */
function DeviceType({ of: type }) {
  const [all, setAll] = useState(false);
  const look = looks(type.versions);
  const shown = all ? type.versions : type.versions.slice(0, ROWS_FIRST);
  const hidden = type.versions.length - shown.length;
  const latest = type.latestVersion ? t("latestIs", { version: type.latestVersion }) : t("nothingReleased");
  return html`<div class="device-type">
    <h3><a href=${link(["gateways"], { filter: `type:${type.deviceType}` })}>${type.deviceType}</a> <span class="quiet">${latest}</span></h3>
    <${Stack} of=${type} />
    <div class="scroll">
      <table aria-label=${type.deviceType}>
        <thead><tr>
          <th scope="col">${t("version")}</th><th scope="col" class="number">${t("gateways")}</th>
          <th scope="col" class="number">${t("share")}</th><th scope="col" class="number">${t("online")}</th>
        </tr></thead>
        <tbody>${shown.map(
          ({ version, total, online }, index) => html`<tr key=${version ?? ""}>
            <th scope="row">
              <i class="version-swatch" data-look=${look[index]}></i>
              <a href=${listed(type.deviceType, version)}>${version ?? t("unknown")}</a>
              ${version !== null && version === type.latestVersion && html` <span class="status" data-status="released">${t("latest")}</span>`}
            </th>
            <td class="number">${number(total)}</td><td class="number">${percent(total / type.total)}</td><td class="number">${number(online)}</td>
          </tr>`,
        )}</tbody>
      </table>
    </div>
    ${hidden > 0 && html`<button type="button" class="small" onClick=${() => setAll(true)}>${t("more", { count: hidden })}</button>`}
  </div>`;
}

/** @param {{deviceTypes: TypeCounts[]}} props */
export function Versions({ deviceTypes }) {
  const [all, setAll] = useState(false);
  const shown = all ? deviceTypes : deviceTypes.slice(0, TYPES_FIRST);
  const hidden = deviceTypes.length - shown.length;
  return html`<${Section} title=${t("title")}>
    <div class="device-types">${shown.map((type) => html`<${DeviceType} key=${type.deviceType} of=${type} />`)}</div>
    ${hidden > 0 && html`<p><button type="button" onClick=${() => setAll(true)}>${t("moreTypes", { count: hidden })}</button></p>`}
  <//>`;
}
