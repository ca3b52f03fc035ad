// All rollouts, the newest first.

import { html } from "../../vendor/preact.js";
import { may } from "../../core/api.js";
import { number } from "../../core/format.js";
import { go, link } from "../../core/router.js";
import { translator } from "../../core/words.js";
import { Empty, Screen, Shown, Status, statusWord, Time } from "../../parts/common.js";
import { More, useList } from "../../parts/list.js";
import { AFTERMATH_MS, inWords, Segments } from "./segments.js";

const t = translator("rollouts/list");

const ROLLOUT_STATES = ["scheduled", "running", "paused", "halted", "completed", "cancelled"];

/** @param {{rollout: import("../../core/types.js").Rollout}} props */
function Row({ rollout }) {
  const { counters } = rollout;
  return html`<tr>
    <td><a href=${link(["rollouts", rollout.rolloutId])}>${rollout.name || rollout.version}</a></td>
    <td><${Status} of=${rollout.state} /></td>
    <td>${rollout.version}</td>
    <td>${rollout.deviceType}</td>
    <td class="rollout-progress">
      <${Segments} counts=${counters} label=${inWords(counters)} />
      <span class="quiet">${t("of", { done: number(counters.confirmed), total: number(counters.total) })}</span>
    </td>
    <td><${Time} at=${rollout.createdAt} /></td>
  </tr>`;
}

/** @param {{state: string}} props */
export function RolloutList({ state }) {
  const list = useList("/api/ota/rollouts", { state }, { kinds: ["rollout", "task"] }, { aftermath: AFTERMATH_MS });
  const onState = (/** @type {any} */ event) => go(["rollouts"], { state: event.target.value });
  const actions = may("operate") && html`<a class="button primary" href=${link(["rollouts", "new"])}>${t("new")}</a>`;
  return html`<${Screen} title=${t("title")} actions=${actions}>
    <section class="card">
      <div><label class="row">${t("state")}
        <select value=${state} onChange=${onState}>
          <option value="">${t("any")}</option>
          ${ROLLOUT_STATES.map((each) => html`<option key=${each} value=${each}>${statusWord(each)}</option>`)}
        </select></label></div>
      <${Shown} of=${list}>${(/** @type {any[]} */ rollouts) =>
        rollouts.length === 0
          ? html`<${Empty}>${t("none")}<//>`
          : html`<div class="scroll"><table>
              <thead><tr>
                <th scope="col">${t("name")}</th>
                <th scope="col">${t("state")}</th>
                <th scope="col">${t("version")}</th>
                <th scope="col">${t("deviceType")}</th>
                <th scope="col">${t("progress")}</th>
                <th scope="col">${t("created")}</th>
              </tr></thead>
              <tbody>${rollouts.map((rollout) => html`<${Row} key=${rollout.rolloutId} rollout=${rollout} />`)}</tbody>
            </table></div>
            <${More} list=${list} />`}<//>
    </section>
  <//>`;
}
