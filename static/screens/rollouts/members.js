// The gateways of a rollout, by state and wave.

import { html } from "../../vendor/preact.js";
import { segment } from "../../core/api.js";
import { go, link } from "../../core/router.js";
import { translator } from "../../core/words.js";
import { Empty, Section, Shown, Status, statusWord } from "../../parts/common.js";
import { More, useList } from "../../parts/list.js";
import { AFTERMATH_MS, STATES } from "./segments.js";

const t = translator("rollouts/members");

/** @typedef {import("../../core/types.js").RolloutGateway} Member */

/** @param {{members: Member[]}} props */
const Table = ({ members }) =>
  html`<div class="scroll"><table class="of-gateways">
    <thead><tr>
      <th scope="col">${t("gateway")}</th>
      <th scope="col" class="number">${t("wave")}</th>
      <th scope="col">${t("state")}</th>
      <th scope="col">${t("reason")}</th>
    </tr></thead>
    <tbody>${members.map(({ gatewayId, wave, state, reason }) => html`<tr key=${gatewayId}>
      <td><a href=${link(["gateways", gatewayId])}>${gatewayId}</a></td>
      <td class="number">${wave ?? "–"}</td>
      <td><${Status} of=${state} /></td>
      <td>${reason}</td>
    </tr>`)}</tbody>
  </table></div>`;

/** @param {{rollout: import("../../core/types.js").Rollout, state: string, wave: string}} props */
export function Members({ rollout: { rolloutId, waves }, state, wave }) {
  const path = `/api/ota/rollouts/${segment(rolloutId)}/gateways`;
  const list = useList(path, { state, wave }, { kinds: ["rollout", "task"], rolloutId }, { aftermath: AFTERMATH_MS });
  const narrow = (/** @type {object} */ change) => go(["rollouts", rolloutId], { state, wave, ...change });
  const filters = html`
    <label class="row">${t("state")}
      <select value=${state} onChange=${(/** @type {any} */ event) => narrow({ state: event.target.value })}>
        <option value="">${t("anyState")}</option>
        ${STATES.map((each) => html`<option key=${each} value=${each}>${statusWord(each)}</option>`)}
      </select></label>
    <label class="row">${t("wave")}
      <select value=${wave} onChange=${(/** @type {any} */ event) => narrow({ wave: event.target.value })}>
        <option value="">${t("any")}</option>
        ${waves.map((percent, index) => html`<option key=${index} value=${index + 1}>${index + 1} (${percent} %)</option>`)}
      </select></label>`;
  return html`<${Section} title=${t("title")} actions=${filters}>
    <${Shown} of=${list}>${(/** @type {Member[]} */ members) =>
      members.length === 0 ? html`<${Empty}>${t("none")}<//>` : html`<${Table} members=${members} /><${More} list=${list} />`}<//>
  <//>`;
}
