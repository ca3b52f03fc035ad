// Why the gateway gets its update, or not.

import { html } from "../../vendor/preact.js";
import { time } from "../../core/format.js";
import { link } from "../../core/router.js";
import { translator } from "../../core/words.js";
import { Section, Shown, Time } from "../../parts/common.js";

/** @typedef {import("../../core/types.js").Why} WhyAnswer */

const t = translator({
  title: { en: "Why", zh: "原因", ru: "Почему" },
  up_to_date: { en: "up to date", zh: "已是最新", ru: "актуальна" },
  updating: { en: "updating", zh: "升级中", ru: "обновляется" },
  waiting: { en: "waiting", zh: "等待中", ru: "ждёт" },
  blocked: { en: "blocked", zh: "受阻", ru: "заблокировано" },
  failed: { en: "failed", zh: "失败", ru: "ошибка" },
  not_targeted: { en: "not targeted", zh: "未列入升级", ru: "никто не запросил" },
  nothing_released: { en: "nothing released", zh: "没有已发布的固件", ru: "ничего не выпущено" },
  findings: { en: "What speaks for or against the update", zh: "支持或阻止升级的因素", ru: "Что говорит за обновление или против" },
  rollout: { en: "Rollout", zh: "批量升级", ru: "Развёртывание" },
  task: { en: "Task", zh: "任务", ru: "Задача" },
  until: { en: "until", zh: "直到", ru: "до" },
});

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
