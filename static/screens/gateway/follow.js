// A gateway's tasks as they are now: what was loaded, and over it what events have told since.

import { useState } from "../../vendor/preact.js";
import { useEvents } from "../../parts/load.js";
import { useList } from "../../parts/list.js";

/** @typedef {import("../../core/types.js").Task} Task */

export const STEPS = /** @type {const} */ ([
  "pending",
  "downloading",
  "verifying",
  "installing",
  "completed",
  "confirmed",
]);
const ENDS = ["completed", "failed", "cancelled"];

/** @param {Task} task */
export const isActive = (task) => !ENDS.includes(task.status);

/** How far a task is; it never goes back. @param {Task} task */
function rank(task) {
  const ended = ENDS.includes(task.status);
  const step = ended ? STEPS.length : STEPS.findIndex((each) => each === task.status);
  return 1000 * (task.confirmedAt ? STEPS.length + 1 : step) + task.progress;
}

/**
 * The later of two states of a task, with what only the other knows.
 *
 * @param {Task} one
 * @param {Task | undefined} other
 */
export function later(one, other) {
  if (!other) {
    return one;
  }
  const apart = Date.parse(other.updatedAt) - Date.parse(one.updatedAt) || rank(other) - rank(one);
  return apart >= 0 ? { ...one, ...other } : { ...other, ...one };
}

/**
 * An event tells less of a task than the API does.
 *
 * @param {import("../../core/types.js").FleetEvent} event
 */
function told({ taskId, gatewayId, rolloutId, createdAt, data }) {
  const { status, progress, fromVersion, toVersion, errorCode, errorMessage, confirmedAt } = data;
  const state = { status, progress, fromVersion, toVersion, errorCode, errorMessage, confirmedAt };
  return /** @type {Task} */ ({ taskId, gatewayId, rolloutId, updatedAt: createdAt, ...state });
}

/**
 * The newest first; the first moves with every event of it.
 *
 * @param {string} gatewayId
 */
export function useTasks(gatewayId) {
  const list = useList("/api/ota/tasks", { gatewayId }, { kinds: ["task"], gatewayId });
  const [heard, setHeard] = useState(/** @type {Map<string, Task>} */ (new Map()));
  const hear = (/** @type {Task} */ task) =>
    setHeard((before) => new Map(before).set(task.taskId, later(task, before.get(task.taskId))));
  const filter = { kinds: ["task", "task_progress"], gatewayId };
  useEvents(filter, (event) => hear(told(event)), () => {});
  /** @type {Task[] | null} */
  const loaded = list.data;
  // Task ids grow with time.
  const fresh = [...heard.values()].filter((task) => loaded && task.taskId > (loaded[0]?.taskId ?? ""));
  const items = loaded?.map((task) => later(task, heard.get(task.taskId))) ?? null;
  fresh.sort((one, other) => (one.taskId < other.taskId ? 1 : -1));
  return { ...list, data: items && [...fresh, ...items], hear };
}
