// One event stream for the page, narrowed to what is shown.

import { logIn } from "./api.js";

/** @typedef {import("./types.js").FleetEvent} FleetEvent */
/** @typedef {{kinds: string[], gatewayId?: string, taskId?: string, rolloutId?: string}} Filter */
/**
 * @typedef {object} Listener
 * @property {Filter} filter
 * @property {(event: FleetEvent) => void} onEvent
 * @property {() => void} onMissed events may have been missed: look anew
 */

const REOPEN_DELAYS_MS = [250, 500, 1000, 2000, 4000];
const HIDDEN_FOR_MS = 30_000;
const KINDS = ["task", "task_progress", "rollout", "gateway", "firmware", "package"];
const IDS = /** @type {const} */ (["gatewayId", "taskId", "rolloutId"]);

/** @type {Set<Listener>} */
const listeners = new Set();
/** @type {Set<(connected: boolean) => void>} */
const watchers = new Set();
/** @type {EventSource | null} */
let source = null;
let sourceQuery = "";
/** @type {number | null} */
let lastEventId = null;
let failures = 0;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let hiddenTimer;

/** What all listeners need, and as little more as an address can say. */
function query() {
  const filters = [...listeners].map((listener) => listener.filter);
  const words = new URLSearchParams();
  words.set("kind", KINDS.filter((kind) => filters.some(({ kinds }) => kinds.includes(kind))).join(","));
  for (const id of IDS) {
    const wanted = new Set(filters.map((filter) => filter[id]));
    const [only] = wanted;
    if (wanted.size === 1 && only !== undefined) {
      words.set(id, only);
    }
  }
  return words.toString();
}

/** @param {boolean} connected */
function tell(connected) {
  watchers.forEach((watcher) => watcher(connected));
}

function close() {
  clearTimeout(timer);
  source?.close();
  source = null;
}

function open() {
  close();
  if (listeners.size === 0 || document.hidden) {
    return;
  }
  sourceQuery = query();
  const resumes = lastEventId !== null;
  const from = resumes ? `&lastEventId=${lastEventId}` : "";
  const opened = new EventSource(`/api/ota/events?${sourceQuery}${from}`);
  source = opened;
  opened.onopen = () => {
    failures = 0;
    tell(true);
    if (!resumes) {
      missed();
    }
  };
  opened.onerror = () => {
    // Not left to the browser, which gives up after an answer that is no stream.
    close();
    tell(false);
    if (failures > 0) {
      void leaveIfLoggedOut();
    }
    const delay = REOPEN_DELAYS_MS[Math.min(failures, REOPEN_DELAYS_MS.length - 1)];
    failures += 1;
    timer = setTimeout(open, delay);
  };
  for (const kind of KINDS) {
    opened.addEventListener(kind, (message) => received(JSON.parse(message.data)));
  }
  opened.addEventListener("gap", () => missed());
}

/** A session that has ended looks like a server that is away. */
async function leaveIfLoggedOut() {
  const answer = await fetch("/api/ota/session").catch(() => null);
  if (answer?.status === 401) {
    logIn();
  }
}

function missed() {
  listeners.forEach((listener) => listener.onMissed());
}

/** @param {FleetEvent} event */
function received(event) {
  lastEventId = event.eventId;
  for (const { filter, onEvent } of listeners) {
    const meant = IDS.every((id) => filter[id] === undefined || filter[id] === event[id]);
    if (meant && filter.kinds.includes(event.kind)) {
      onEvent(event);
    }
  }
}

/**
 * Hears what passes the filter until the returned function is called.
 *
 * @param {Listener} listener
 */
export function listen(listener) {
  listeners.add(listener);
  queueMicrotask(refresh);
  return () => {
    listeners.delete(listener);
    queueMicrotask(refresh);
  };
}

function refresh() {
  if (listeners.size === 0) {
    close();
    // What happens meanwhile concerns nobody, and the next listener looks anew.
    lastEventId = null;
  } else if (source === null || sourceQuery !== query()) {
    // What a wider filter lets pass now did not come before.
    lastEventId = null;
    open();
  }
}

/**
 * Tells whether the stream is connected, each time that changes.
 *
 * @param {(connected: boolean) => void} watcher
 */
export function watchConnection(watcher) {
  watchers.add(watcher);
  return () => void watchers.delete(watcher);
}

// A tab that nobody sees takes no place among the server's listeners.
document.addEventListener("visibilitychange", () => {
  clearTimeout(hiddenTimer);
  if (document.hidden) {
    hiddenTimer = setTimeout(close, HIDDEN_FOR_MS);
  } else if (source === null) {
    open();
  }
});
