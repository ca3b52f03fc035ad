// Why the gateway gets its update, or not.

import { html } from "../../vendor/preact.js";
import { time } from "../../core/format.js";
import { link } from "../../core/router.js";
import { translator } from "../../core/words.js";
import { Section, Shown, Time } from "../../parts/common.js";

/** @typedef {import("../../core/types.js").Why} WhyAnswer */

const t = translator("gateway/why");

/** @type {Record<WhyAnswer["verdict"], string>} */
const TONES = {
  up_to_date: "good",
  updating: "busy",
  waiting: "busy",
  blocked: "warn",
  failed: "wrong",
  not_targeted: "quiet",
  nothing_released: "quiet",
};

/** The task's place is below, and the address of the page stays. @param {string} taskId */
function showTask(taskId) {
  const details = /** @type {HTMLDetailsElement | null} */ (document.getElementById(`task-${taskId}`));
  if (details) {
    details.open = true;
    details.querySelector("summary")?.focus();
    details.scrollIntoView({ block: "nearest" });
  }
}

/** The server's times are in UTC. @param {string} text */
const inZone = (text) => text.replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, (at) => time(at));

/** @param {{finding: WhyAnswer["findings"][number]}} props */
function Finding({ finding: { message, rule, rolloutId, taskId, until } }) {
  return html`<li>
    ${inZone(message)}${until && html` (${t("until")} <${Time} at=${until} exact />)`}
    <span class="row finding-links">
      <code class="quiet">${rule}</code>
      ${rolloutId && html`<a href=${link(["rollouts", rolloutId])}>${t("rollout")}</a>`}
      ${taskId && html`<button type="button" class="small" onClick=${() => showTask(taskId)}>${t("task")}</button>`}
    </span>
  </li>`;
}

/** @param {{why: import("../../parts/load.js").Loaded<WhyAnswer>}} props */
export function Why({ why }) {
  return html`<${Section} title=${t("title")} id="why">
    <${Shown} of=${why}>
      ${(/** @type {WhyAnswer} */ { summary, verdict, findings }) =>
        html`<p class="why" data-tone=${TONES[verdict] ?? "quiet"}>
            <strong>${verdict in TONES ? t(/** @type {any} */ (verdict)) : verdict}</strong>
            <span>${inZone(summary)}</span>
          </p>
          <ul class="findings" aria-label=${t("findings")}>
            ${findings.map((finding, index) => html`<${Finding} key=${index} finding=${finding} />`)}
          </ul>`}
    <//>
  <//>`;
}
