// The tasks that run now.

import { html, useRef, useState } from "../../vendor/preact.js";
import { get } from "../../core/api.js";
import { percent } from "../../core/format.js";
import { link } from "../../core/router.js";
import { translator } from "../../core/words.js";
import { Bar, Empty, Section, Shown, Status } from "../../parts/common.js";
import { useEvents, useLive } from "../../parts/load.js";

const t = translator("overview/running");

/** @typedef {import("../../core/types.js").Task} Task */

const SHOWN = 8;
/** Of each kind, those that a gateway works at before those that wait for one. */
const KINDS = [["downloading", "verifying", "installing"], ["pending"]];

/** @param {AbortSignal} signal @returns {Promise<Task[]>} */
async function activeTasks(signal) {
  /** @param {string} status */
  const list = (status) => get("/api/ota/tasks", { status, limit: SHOWN }, signal);
  const kinds = KINDS.map(async (kind) => {
    const pages = await Promise.all(kind.map(list));
    /** @type {Task[]} */
    const tasks = pages.flatMap(({ items }) => items);
    return tasks.sort((one, other) => Date.parse(other.createdAt) - Date.parse(one.createdAt));
  });
  return (await Promise.all(kinds)).flat().slice(0, SHOWN);
}

/** @param {{of: Task}} props */
const Running = ({ of: task }) => html`<li>
  <span class="running-what">
    <a href=${link(["gateways", task.gatewayId])}>${task.gatewayId}</a>
    <span>${task.fromVersion ?? t("unknown")} → ${task.toVersion}</span>
    <${Status} of=${task.status} />
    <span class="number">${percent(task.progress / 100)}</span>
  </span>
  <${Bar} value=${task.progress} label=${t("progress", { gatewayId: task.gatewayId })} />
</li>`;

/** @param {{active: number | null}} props */
export function RunningTasks({ active }) {
  const loaded = useLive(activeTasks, [], { kinds: ["task"] });
  const moved = useRef(/** @type {Map<string, {progress: number, status: Task["status"]}>} */ (new Map()));
  const [, again] = useState(0);
  const onEvent = (/** @type {import("../../core/types.js").FleetEvent} */ { taskId, data }) => {
    if (loaded.data?.some((task) => task.taskId === taskId)) {
      moved.current.set(taskId ?? "", { progress: data.progress, status: data.status });
      again((count) => count + 1);
    }
  };
  useEvents({ kinds: ["task_progress"] }, onEvent, () => moved.current.clear());
  return html`<${Section} title=${t("title")}>
    <${Shown} of=${loaded}>${(/** @type {Task[]} */ tasks) => {
      const current = tasks.map((task) => {
        const { progress = 0, status = task.status } = moved.current.get(task.taskId) ?? {};
        return progress > task.progress ? { ...task, progress, status } : task;
      });
      const more = (active ?? 0) - tasks.length;
      return tasks.length === 0
        ? html`<${Empty}>${t("none")}<//>`
        : html`<ul class="running">${current.map((task) => html`<${Running} key=${task.taskId} of=${task} />`)}</ul>
            ${more > 0 && html`<p class="quiet">${t("more", { count: more })}</p>`}`;
    }}<//>
  <//>`;
}
