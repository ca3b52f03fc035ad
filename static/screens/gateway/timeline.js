// What happened to each task of a gateway.

import { html, useState } from "../../vendor/preact.js";
import { get } from "../../core/api.js";
import { percent } from "../../core/format.js";
import { translator } from "../../core/words.js";
import { Empty, Section, Shown, Status, Time, taskStatus } from "../../parts/common.js";
import { More } from "../../parts/list.js";
import { useLive } from "../../parts/load.js";

/** @typedef {import("../../core/types.js").Task} Task */
/** @typedef {import("../../core/types.js").TaskEvent} TaskEvent */

const t = translator("gateway/timeline");

/** @param {{taskId: string, gatewayId: string}} props */
function Events({ taskId, gatewayId }) {
  const load = (/** @type {AbortSignal} */ signal) => get(`/api/ota/task/${taskId}/events`, undefined, signal);
  const events = useLive(load, [taskId], { kinds: ["task", "task_progress"], gatewayId, taskId });
  return html`<${Shown} of=${events}>
    ${(/** @type {{items: TaskEvent[]}} */ { items }) =>
      items.length === 0
        ? html`<${Empty}>${t("noEvents")}<//>`
        : html`<ol class="timeline">${items.map((event) => html`<${Event} key=${event.eventId} event=${event} />`)}</ol>`}
  <//>`;
}

/** @param {{event: TaskEvent}} props */
function Event({ event }) {
  const status = event.confirmedAt ? "confirmed" : event.status;
  return html`<li data-status=${status}>
    <span class="row"><${Status} of=${status} /> <span class="number">${percent(event.progress / 100)}</span></span>
    <${Time} at=${event.createdAt} exact />
    ${event.errorCode && html`<p><code>${event.errorCode}</code> ${event.errorMessage}</p>`}
  </li>`;
}

/** @param {{task: Task}} props */
function TaskOf({ task }) {
  const [open, setOpen] = useState(false);
  const toggled = (/** @type {any} */ event) => setOpen(event.currentTarget.open);
  return html`<details id=${`task-${task.taskId}`} onToggle=${toggled}>
    <summary>
      <b>${task.fromVersion ?? "?"} → ${task.toVersion}</b>${" "}
      <${Status} of=${taskStatus(task)} />${" "}
      <span class="quiet"><${Time} at=${task.createdAt ?? task.updatedAt} exact /></span>
    </summary>
    ${open && html`<${Events} taskId=${task.taskId} gatewayId=${task.gatewayId} />`}
  </details>`;
}

/** @param {{tasks: ReturnType<typeof import("./follow.js").useTasks>}} props */
export function Tasks({ tasks }) {
  return html`<${Section} title=${t("title")} id="tasks">
    <${Shown} of=${tasks}>
      ${(/** @type {Task[]} */ items) =>
        items.length === 0
          ? html`<${Empty}>${t("none")}<//>`
          : html`<div class="tasks">${items.map((task) => html`<${TaskOf} key=${task.taskId} task=${task} />`)}</div>`}
    <//>
    <${More} list=${tasks} />
  <//>`;
}
