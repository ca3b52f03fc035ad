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

/** What changes as a task goes on, and is told by its events. @param {Task} task */
function stateOf({ status, progress, fromVersion, toVersion, errorCode, errorMessage, confirmedAt, updatedAt }) {
  return { status, progress, fromVersion, toVersion, errorCode, errorMessage, confirmedAt, updatedAt };
}

/**
 * A task in the later of two states.
 *
 * @param {Task} task
 * @param {Task | undefined} other
 */
export function later(task, other) {
  if (!other) {
    return task;
  }
  const apart = Date.parse(other.updatedAt) - Date.parse(task.updatedAt) || rank(other) - rank(task);
  return { ...other, ...task, ...stateOf(apart > 0 ? other : task) };
}

/**
 * An event tells less of a task than the API does.
 *
 * @param {import("../../core/types.js").FleetEvent} event
 */
const told = ({ taskId, gatewayId, rolloutId, createdAt, data }) =>
  /** @type {Task} */ ({ taskId, gatewayId, rolloutId, ...stateOf({ ...data, updatedAt: createdAt }) });

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
