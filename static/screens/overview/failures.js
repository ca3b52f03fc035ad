// Why tasks failed lately, most frequent cause first.

import { html } from "../../vendor/preact.js";
import { get } from "../../core/api.js";
import { number } from "../../core/format.js";
import { link } from "../../core/router.js";
import { translator } from "../../core/words.js";
import { Bar, Empty, Section, Shown, Time } from "../../parts/common.js";
import { useLoaded } from "../../parts/load.js";

const t = translator("overview/failures");

const CAUSES_SHOWN = 5;
const TASKS_SHOWN = 3;

/** @typedef {import("../../core/types.js").Task} Task */

/** @param {{of: Task}} props */
const Failed = ({ of: task }) => html`<li>
  <a href=${link(["gateways", task.gatewayId])}>${task.gatewayId}</a> → ${task.toVersion}${" "}
  <span class="quiet"><${Time} at=${task.completeTime ?? task.updatedAt} /></span>
  ${task.errorMessage && html`<span class="failed-why">${task.errorMessage}</span>`}
</li>`;

/** @param {{code: string, count: number, most: number}} props */
function Cause({ code, count, most }) {
  const load = (/** @type {AbortSignal} */ signal) =>
    get("/api/ota/tasks", { status: "failed", errorCode: code, limit: TASKS_SHOWN }, signal);
  const newest = useLoaded(load, [code, count]);
  return html`<li class="failure-cause">
    <h3 class="row"><code>${code}</code> <span class="quiet">${t("tasks", { count })}</span></h3>
    <${Bar} value=${count} max=${most} tone="wrong" label=${`${code}: ${number(count)}`} />
    <${Shown} of=${newest}>${(/** @type {{items: Task[]}} */ { items }) =>
      html`<ul>${items.map((task) => html`<${Failed} key=${task.taskId} of=${task} />`)}</ul>`}<//>
  </li>`;
}

/** @param {{statistics: import("../../parts/load.js").Loaded<import("../../core/types.js").Statistics>}} props */
export function Failures({ statistics }) {
  return html`<${Section} title=${t("title")}>
    <${Shown} of=${statistics}>${(/** @type {import("../../core/types.js").Statistics} */ { byErrorCode }) => {
      const causes = Object.entries(byErrorCode).sort(([, one], [, other]) => other - one);
      const rest = causes.length - CAUSES_SHOWN;
      return causes.length === 0
        ? html`<${Empty}>${t("none")}<//>`
        : html`<ul class="failure-causes">${causes
              .slice(0, CAUSES_SHOWN)
              .map(([code, count]) => html`<${Cause} key=${code} code=${code} count=${count} most=${causes[0][1]} />`)}</ul>
            ${rest > 0 && html`<p class="quiet">${t("more", { count: rest })}</p>`}`;
    }}<//>
  <//>`;
}
