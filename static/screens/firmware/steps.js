// draft → testing → released → deprecated. The server goes no step back, so a step waits until it can't be undone any more.

import { useEffect, useState } from "../../vendor/preact.js";
import { address, change, segment } from "../../core/api.js";
import { translator } from "../../core/words.js";
import { doUnlessUndone } from "../../parts/toast.js";

/** @typedef {import("../../core/types.js").Firmware} Firmware */
/** @typedef {import("../../core/types.js").FirmwareStatus} FirmwareStatus */

const t = translator("firmware/steps");

/** @param {{deviceType: string, version: string}} firmware */
export const nameOf = ({ deviceType, version }) => `${deviceType} ${version}`;

/** @param {{deviceType: string, version: string}} firmware */
export const pathOf = ({ deviceType, version }) => ["firmware", deviceType, version];

/** @param {{deviceType: string, version: string}} firmware @param {string} [verb] */
export const apiOf = ({ deviceType, version }, verb = "") =>
  address(`/api/ota/firmware/${segment(version)}${verb}`, { deviceType });

/** @type {Map<string, FirmwareStatus>} by name: the status that it will have */
const waiting = new Map();
/** @type {Map<string, Firmware>} by name: the server's last answer */
const answers = new Map();
/** @type {Set<() => void>} */
const watchers = new Set();

const tell = () => watchers.forEach((watcher) => watcher());

/** Renders anew when a step begins or ends. */
export function useSteps() {
  const [, render] = useState(0);
  useEffect(() => {
    const watcher = () => render((count) => count + 1);
    watchers.add(watcher);
    return () => void watchers.delete(watcher);
  }, []);
}

/** The status that it will have in a moment. @param {Firmware} firmware */
export const soon = (firmware) => waiting.get(nameOf(firmware));

/** What the server said last: an answer may come before the list that shows it. @param {Firmware} firmware */
export function newest(firmware) {
  const answer = answers.get(nameOf(firmware));
  return answer && answer.createdAt === firmware.createdAt && answer.updatedAt > firmware.updatedAt ? answer : firmware;
}

/**
 * Takes the step, now.
 *
 * @param {Firmware} firmware
 * @param {FirmwareStatus} status
 * @param {boolean} [leaving] the page
 */
export async function step(firmware, status, leaving) {
  const options = { keepalive: leaving };
  const answer =
    status === "released"
      ? await change("POST", apiOf(firmware, "/release"), undefined, options)
      : await change("POST", apiOf(firmware, "/status"), { status }, options);
  answers.set(nameOf(firmware), answer);
  tell();
}

/**
 * Takes the step in a moment, if it is not undone.
 *
 * @param {Firmware} firmware
 * @param {"testing" | "released"} status
 */
export function stepSoon(firmware, status) {
  const name = nameOf(firmware);
  const done = () => {
    waiting.delete(name);
    tell();
  };
  waiting.set(name, status);
  tell();
  doUnlessUndone(t(/** @type {any} */ (status), { name }), (leaving) => step(firmware, status, leaving).finally(done), done);
}
