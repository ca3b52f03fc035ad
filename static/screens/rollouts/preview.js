// Who would get the version, before anybody does.

import { html } from "../../vendor/preact.js";
import { number } from "../../core/format.js";
import { link } from "../../core/router.js";
import { translator } from "../../core/words.js";
import { Empty, Problem } from "../../parts/common.js";

const t = translator("rollouts/preview");

/** @typedef {import("../../core/types.js").RolloutDryRun} DryRun */

/** @param {{dryRun: DryRun}} props */
function Waves({ dryRun }) {
  const waves = dryRun.waveCounters;
  const what = waves.map(({ wave, total }) => `${t("wave", { wave })} – ${number(total)}`).join(", ");
  const left = dryRun.included - waves.reduce((sum, { total }) => sum + total, 0);
  return html`<div class="segments tall" role="img" aria-label=${t("bar", { what })}>
      ${waves.map(({ wave, total }) =>
        total > 0 && html`<span key=${wave} data-wave=${(wave - 1) % 4} style=${{ flexGrow: total }}>${wave}</span>`)}
      ${left > 0 && html`<span key="left" data-state="waiting" style=${{ flexGrow: left }}></span>`}
    </div>
    <ul class="legend">
      ${waves.map(({ wave, percent, total }) => html`<li key=${wave}>
        <span class="swatch" data-wave=${(wave - 1) % 4} aria-hidden="true"></span>
        ${t("wave", { wave })} <span class="quiet">${t("percent", { percent })}</span> <strong>${number(total)}</strong>
      </li>`)}
    </ul>
    ${left > 0 && html`<p class="quiet">${t("rest", { count: left })}</p>`}`;
}

/** @param {{dryRun: DryRun, more: () => void}} props */
function Gateways({ dryRun, more }) {
  const { items, nextCursor } = dryRun.gateways;
  return html`<h3>${t("gateways")}</h3>
    <div class="scroll"><table class="of-gateways">
      <thead><tr>
        <th scope="col">${t("gateway")}</th>
        <th scope="col">${t("runs")}</th>
        <th scope="col">${t("path")}</th>
        <th scope="col" class="number">${t("turn")}</th>
      </tr></thead>
      <tbody>${items.map((gateway) => html`<tr key=${gateway.gatewayId}>
        <td><a href=${link(["gateways", gateway.gatewayId])}>${gateway.gatewayId}</a></td>
        <td>${gateway.currentVersion ?? "–"}</td>
        <td>${gateway.message ?? gateway.path.join(" → ")}</td>
        <td class="number">${gateway.wave ?? t("none")}</td>
      </tr>`)}</tbody>
    </table></div>
    ${nextCursor && items.length < 500 && html`<p class="more"><button type="button" onClick=${more}>${t("more")}</button></p>`}`;
}

/** @param {{dryRun: DryRun, version: string, more: () => void}} props */
function Answer({ dryRun, version, more }) {
  const { included, excluded, exclusions } = dryRun;
  if (included + excluded === 0) {
    return html`<p class="notice">${t("nobody")}</p>`;
  }
  return html`<p class="included" role="status"><strong>${t("included", { count: included, version })}</strong></p>
    ${included > 0 && html`<${Waves} dryRun=${dryRun} />`}
    ${excluded > 0 && html`<p>${t("excluded", { count: excluded })}</p>
      <ul class="exclusions">${exclusions.map(({ reason, message, total }) =>
        html`<li key=${reason}><strong>${number(total)}</strong> ${message}</li>`)}</ul>`}
    <${Gateways} dryRun=${dryRun} more=${more} />`;
}

/** @typedef {import("../../parts/load.js").Loaded<DryRun>} Asked */

/** Where the whole answer is out of sight. @param {{preview: Asked, version: string}} props */
export const Brief = ({ preview: { data, error }, version }) =>
  html`<p class="brief" aria-hidden="true">${error ? error.message : data && t("included", { count: data.included, version })}</p>`;

/** @param {{preview: Asked, current: boolean, version: string, more: () => void}} props */
export function Preview({ preview, current, version, more }) {
  const { data, error } = preview;
  return html`<section class="card preview" aria-label=${t("title")} aria-busy=${!current}>
    <header class="card-head"><h2>${t("title")}</h2>
      <p class="quiet" role="status">${version && !current && !error && t("updating")}</p></header>
    <${Problem} error=${error} />
    ${!version && html`<${Empty}>${t("choose")}<//>`}
    ${version && !error && data && html`<${Answer} dryRun=${data} version=${version} more=${more} />`}
  </section>`;
}
