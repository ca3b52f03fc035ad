// The newest upgrade of a gateway, as it goes on.

import { html } from "../../vendor/preact.js";
import { change, get, may } from "../../core/api.js";
import { duration, percent } from "../../core/format.js";
import { link } from "../../core/router.js";
import { translator } from "../../core/words.js";
import { Bar, Empty, Section, Shown, Time, statusWord, taskStatus } from "../../parts/common.js";
import { useLoaded } from "../../parts/load.js";
import { attempt } from "../../parts/toast.js";
import { STEPS, isActive } from "./follow.js";

/** @typedef {import("../../core/types.js").Task} Task */

const t = translator("gateway/progress");

/** @param {Task} task */
const isStopped = (task) => task.status === "failed" || task.status === "cancelled";

/**
 * The state that the task is in; of one that failed or was cancelled the one before, if its events are still kept.
 *
 * @param {Task} task
 */
function useStep(task) {
  const load = async (/** @type {AbortSignal} */ signal) => {
    if (!isStopped(task)) {
      return null;
    }
    /** @type {{items: import("../../core/types.js").TaskEvent[]}} */
    const { items } = await get(`/api/ota/task/${task.taskId}/events`, undefined, signal);
    return items.findLast(({ status }) => status !== "failed" && status !== "cancelled")?.status ?? null;
  };
  const before = useLoaded(load, [task.taskId, task.status]);
  return isStopped(task) ? before.data : taskStatus(task);
}

/** @param {{task: Task}} props */
function Steps({ task }) {
  const state = useStep(task);
  const at = STEPS.findIndex((step) => step === state);
  const of = (/** @type {number} */ index) => {
    if (index < at || task.confirmedAt) {
      return "done";
    }
    return index > at ? "ahead" : isStopped(task) ? task.status : "now";
  };
  return html`<ol class="upgrade-steps" aria-label=${t("steps")}>
    ${STEPS.map(
      (step, index) => html`<li key=${step} data-step=${of(index)} aria-current=${index === at ? "step" : undefined}>
        <span>${statusWord(step)}</span>
        ${of(index) === "done" && html`<span class="unseen">, ${t("done")}</span>`}
      </li>`,
    )}
  </ol>`;
}

/** @param {{task: Task}} props */
function Facts({ task }) {
  const goal = task.path?.at(-1);
  const { scheduledAt, duration: took, rolloutId } = task;
  return html`<dl class="facts">
    ${task.startTime && html`<dt>${t("begun")}</dt><dd><${Time} at=${task.startTime} exact /></dd>`}
    ${scheduledAt && isActive(task) && html`<dt>${t("scheduled")}</dt><dd><${Time} at=${scheduledAt} exact /></dd>`}
    ${took !== null && took !== undefined && html`<dt>${t("took")}</dt><dd>${duration(took)}</dd>`}
    ${goal && html`<dt>${t("goal")}</dt><dd>${goal}</dd>`}
    ${rolloutId && html`<dt>${t("rollout")}</dt><dd><a class="mono" href=${link(["rollouts", rolloutId])}>${rolloutId}</a></dd>`}
  </dl>`;
}

/** @param {{task: Task, hear: (task: Task) => void}} props */
function Actions({ task, hear }) {
  const post = (/** @type {string} */ deed) =>
    attempt(async () => hear(await change("POST", `/api/ota/task/${task.taskId}/${deed}`)));
  if (!may("operate")) {
    return null;
  }
  if (isActive(task)) {
    return html`<button type="button" onClick=${() => post("cancel")}>${t("cancel")}</button>`;
  }
  return isStopped(task) && html`<button type="button" onClick=${() => post("retry")}>${t("retry")}</button>`;
}

/** @param {Task | undefined} task */
function announced(task) {
  if (!task) {
    return "";
  }
  const versions = { from: task.fromVersion ?? "?", to: task.toVersion };
  return t("state", { ...versions, state: statusWord(taskStatus(task)) });
}

/** @type {Record<string, string>} */
const TONES = { confirmed: "good", failed: "wrong", cancelled: "quiet" };

/** @param {{task: Task}} props */
function State({ task }) {
  const tone = TONES[taskStatus(task)];
  const share = percent(task.progress / 100);
  return html`<${Steps} task=${task} />
    <div class="upgrade-bar">
      <${Bar} value=${task.progress} label=${t("to", { version: task.toVersion })} tone=${tone} />
      <span class="number">${share}</span>
    </div>
    ${task.errorCode && html`<p class="problem"><span><code>${task.errorCode}</code> ${task.errorMessage}</span></p>`}
    <${Facts} task=${task} />`;
}

/** @param {{tasks: ReturnType<typeof import("./follow.js").useTasks>}} props */
export function Progress({ tasks }) {
  const newest = tasks.data?.[0];
  const actions = newest && html`<${Actions} task=${newest} hear=${tasks.hear} />`;
  // Announced when the state changes, not with each percent.
  return html`<${Section} title=${t("title")} actions=${actions} id="upgrade">
    <p class="upgrade-state" role="status">${announced(newest)}</p>
    <${Shown} of=${tasks}>
      ${() => (newest ? html`<${State} task=${newest} />` : html`<${Empty}>${t("none")}<//>`)}
    <//>
  <//>`;
}
