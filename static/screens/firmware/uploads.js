// Files that were chosen for upload. They outlive the screen: an upload goes on while the reader looks elsewhere.

import { useEffect, useState } from "../../vendor/preact.js";
import { upload } from "../../core/api.js";

/** @typedef {import("../../core/types.js").Firmware} Firmware */
/** @typedef {import("./worker.js").Found} Found */
/** @typedef {{version: string, deviceType: string, minVersion: string, description: string, changelog: string, forceUpgrade: boolean}} Fields */
/**
 * @typedef {object} Candidate
 * @property {number} id
 * @property {File} file
 * @property {Found} found
 * @property {Fields} fields
 * @property {"reading" | "ready" | "sending" | "done"} state
 * @property {number} sent bytes
 * @property {Error | null} error
 * @property {Firmware | null} firmware what the server made of it
 */

const SEMVER = /^v?(\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?)$/;

/** @type {Candidate[]} */
let candidates = [];
let nextId = 1;
/** @type {Set<() => void>} */
const watchers = new Set();
/** @type {Map<number, Worker>} */
const workers = new Map();
/** @type {Map<number, AbortController>} */
const transfers = new Map();

/** @param {Candidate[]} now */
function set(now) {
  candidates = now;
  watchers.forEach((watcher) => watcher());
}

/**
 * @param {number} id
 * @param {Partial<Candidate>} change
 */
const update = (id, change) => set(candidates.map((each) => (each.id === id ? { ...each, ...change } : each)));

export function useCandidates() {
  const [, render] = useState(0);
  useEffect(() => {
    const watcher = () => render((count) => count + 1);
    watchers.add(watcher);
    return () => void watchers.delete(watcher);
  }, []);
  return candidates;
}

/**
 * @param {Iterable<File>} files
 * @param {string[]} deviceTypes that are known
 */
export function add(files, deviceTypes) {
  for (const file of files) {
    const id = nextId++;
    const fields = { version: "", deviceType: "gateway", minVersion: "", description: "", changelog: "", forceUpgrade: false };
    set([{ id, file, found: {}, fields, state: "reading", sent: 0, error: null, firmware: null }, ...candidates]);
    const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
    workers.set(id, worker);
    worker.onmessage = ({ data }) => learn(id, data, deviceTypes);
    worker.onerror = (event) => learn(id, { unreadable: event.message }, deviceTypes);
    worker.postMessage(file);
  }
}

/**
 * @param {number} id
 * @param {Found} news
 * @param {string[]} deviceTypes
 */
function learn(id, news, deviceTypes) {
  const candidate = candidates.find((each) => each.id === id);
  if (!candidate) {
    return;
  }
  const found = { ...candidate.found, ...news };
  const ends = found.unreadable !== undefined || found.fault !== undefined;
  if (ends) {
    end(id);
  }
  const fields = news.image || news.bundle ? { ...candidate.fields, ...said(news, deviceTypes) } : candidate.fields;
  update(id, { found, fields, state: ends && found.unreadable === undefined ? "ready" : candidate.state });
}

/**
 * What an image or a bundle says of itself. A project is a device type if one has that name.
 *
 * @param {Found} found
 * @param {string[]} deviceTypes
 * @returns {Partial<Fields>}
 */
function said({ image, bundle }, deviceTypes) {
  if (bundle) {
    const { version, deviceType, minVersion, changelog } = bundle.manifest;
    return { version, deviceType, minVersion: minVersion ?? "", changelog };
  }
  const { version = "", project = "" } = image?.descriptor ?? {};
  const known = deviceTypes.includes(project) ? { deviceType: project } : {};
  return { version: SEMVER.exec(version)?.[1] ?? "", ...known };
}

/** @param {number} id */
function end(id) {
  workers.get(id)?.terminate();
  workers.delete(id);
}

/** @param {number} id */
export function remove(id) {
  end(id);
  cancel(id);
  set(candidates.filter((each) => each.id !== id));
}

/**
 * @param {Candidate} candidate
 * @param {Partial<Fields>} change
 */
export const fill = ({ id, fields }, change) => update(id, { fields: { ...fields, ...change } });

/** @param {number} id */
export const cancel = (id) => transfers.get(id)?.abort();

/** @param {Candidate} candidate */
export async function send({ id, file, fields, found }) {
  const controller = new AbortController();
  transfers.set(id, controller);
  update(id, { state: "sending", sent: 0, error: null });
  const onProgress = (/** @type {number} */ sent, /** @type {number} */ total) =>
    update(id, { sent: Math.round((file.size * sent) / total) });
  try {
    const form = formOf(file, fields, found);
    const firmware = await upload("/api/ota/firmware/upload", form, { onProgress, signal: controller.signal });
    update(id, { state: "done", firmware });
  } catch (error) {
    update(id, { state: "ready", error: controller.signal.aborted ? null : /** @type {Error} */ (error) });
  } finally {
    transfers.delete(id);
  }
}

/**
 * Fields go before the file, so that the server can refuse early. What a bundle's manifest says is not said again.
 *
 * @param {File} file
 * @param {Fields} fields
 * @param {Found} found
 */
function formOf(file, fields, found) {
  const form = new FormData();
  /** @type {(keyof Fields)[]} */
  const names = found.isBundle
    ? ["description", "forceUpgrade"]
    : ["version", "deviceType", "minVersion", "description", "changelog", "forceUpgrade"];
  for (const name of names) {
    if (fields[name]) {
      form.append(name, String(fields[name]));
    }
  }
  form.append("file", file);
  return form;
}

/** Whether what the server has is what was read here. @param {Candidate} candidate */
export function isSame({ found, firmware }) {
  const here = found.isBundle ? (found.parts ?? []) : [{ name: "", md5: found.md5, sha256: found.sha256 }];
  const there = found.isBundle ? (firmware?.parts ?? []) : firmware ? [{ ...firmware, name: "" }] : [];
  return (
    here.length > 0 &&
    here.length === there.length &&
    here.every((part) => there.some(({ name, md5, sha256 }) => name === part.name && md5 === part.md5 && sha256 === part.sha256))
  );
}

addEventListener("beforeunload", (event) => {
  if (transfers.size > 0) {
    event.preventDefault();
  }
});
