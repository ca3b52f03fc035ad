// The server's API: calls, failures, who is logged in.

import { translator } from "./words.js";

const t = translator("api");

/** @typedef {import("./types.js").Session} Session */

/** What the server refused, in its own words, or that it did not answer. */
export class Failure extends Error {
  /**
   * @param {string} message
   * @param {number} status 0: no answer
   * @param {string} [code]
   */
  constructor(message, status, code) {
    super(message);
    this.status = status;
    this.code = code;
  }

  get passes() {
    return this.status === 0 || this.status === 502 || this.status === 503 || this.status === 504;
  }
}

/**
 * @param {string} path
 * @param {Record<string, unknown>} [query] empty values are left out
 */
export function address(path, query = {}) {
  const words = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== "") {
      words.set(name, String(value));
    }
  }
  const text = words.toString();
  return text ? `${path}?${text}` : path;
}

/** @param {string} part */
export const segment = (part) => encodeURIComponent(part);

/**
 * @param {number} status
 * @param {string} text
 */
function envelope(status, text) {
  let answer;
  try {
    answer = JSON.parse(text);
  } catch {
    // A proxy's page, say.
    throw new Failure(text.trim().slice(0, 200) || t("unreachable"), status);
  }
  if (status >= 400) {
    // Who is there already hears why the login failed.
    if (status === 401 && location.pathname !== "/login") {
      logIn();
    }
    throw new Failure(answer.message ?? t("unreachable"), status, answer.code);
  }
  return answer.data;
}

/**
 * @param {string} method
 * @param {string} path
 * @param {unknown} [body]
 * @param {{signal?: AbortSignal, keepalive?: boolean}} [options]
 * @param {(status: number, text: string) => any} [read]
 */
async function once(method, path, body, options = {}, read = envelope) {
  let response, text;
  const json = body !== undefined && !(body instanceof Blob);
  try {
    response = await fetch(path, {
      method,
      credentials: "same-origin",
      headers: json ? { "Content-Type": "application/json" } : {},
      body: json ? JSON.stringify(body) : /** @type {Blob | undefined} */ (body),
      ...options,
    });
    text = await response.text();
  } catch (error) {
    if (options.signal?.aborted) {
      throw error;
    }
    throw new Failure(t("unreachable"), 0);
  }
  return read(response.status, text);
}

const RETRY_DELAYS_MS = [250, 500, 1000, 2000, 4000, 8000, 15000];

/**
 * The `data` of an answer. What reads is tried again while the server is away.
 *
 * @param {string} path
 * @param {Record<string, unknown>} [query]
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 */
export async function get(path, query, signal) {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await once("GET", address(path, query), undefined, { signal });
    } catch (error) {
      const passes = error instanceof Failure && error.passes;
      if (!passes || attempt === RETRY_DELAYS_MS.length || signal?.aborted) {
        throw error;
      }
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_DELAYS_MS[attempt]));
  }
}

/**
 * Changes something: once, so that nothing is done twice.
 *
 * @param {"POST" | "PATCH" | "DELETE" | "PUT"} method
 * @param {string} path
 * @param {unknown} [body] JSON, or a blob with its type
 * @param {{signal?: AbortSignal, keepalive?: boolean}} [options] `keepalive`: goes on when the page is closed
 * @returns {Promise<any>}
 */
export const change = (method, path, body, options) => once(method, path, body, options);

/**
 * Sends a CSV file; the answer is one, too.
 *
 * @param {string} path
 * @param {Blob} file
 * @returns {Promise<string>}
 */
export const sendCsv = (path, file) =>
  once("POST", path, new Blob([file], { type: "text/csv" }), {}, (status, text) =>
    status < 400 ? text : envelope(status, text),
  );

/**
 * Sends a form with files.
 *
 * @param {string} path
 * @param {FormData} form
 * @param {{onProgress?: (sent: number, total: number) => void, signal?: AbortSignal, method?: "POST" | "PUT"}} [options]
 * @returns {Promise<any>} the answer's `data`
 */
export function upload(path, form, { onProgress, signal, method = "POST" } = {}) {
  return new Promise((resolve, reject) => {
    // `fetch` does not tell how much has been sent.
    const request = new XMLHttpRequest();
    request.open(method, path);
    request.upload.onprogress = (event) => onProgress?.(event.loaded, event.total);
    request.onload = () => {
      try {
        resolve(envelope(request.status, request.responseText));
      } catch (error) {
        reject(error);
      }
    };
    request.onerror = () => reject(new Failure(t("unreachable"), 0));
    request.onabort = () => reject(new DOMException("Aborted", "AbortError"));
    signal?.addEventListener("abort", () => request.abort());
    request.send(form);
  });
}

let stays = 0;
let leaves = false;

/** Puts the way to the login off until the returned function is called: what is shown would be lost. */
export function stayHere() {
  stays += 1;
  return () => {
    stays -= 1;
    if (leaves) {
      logIn();
    }
  };
}

/** Leaves for the login, and comes back. */
export function logIn() {
  leaves = stays > 0;
  if (leaves) {
    return;
  }
  const here = location.pathname + location.search + location.hash;
  location.replace(address("/login", { next: here }));
}

/** Ends the session. */
export async function logOut() {
  await change("POST", "/api/ota/logout");
  logIn();
}

/** @type {Session} */
let session = { kind: "anyone", open: true };

/** Asks who is logged in; false if nobody is and somebody must be. */
export async function whoAmI() {
  try {
    session = await get("/api/ota/session");
    return true;
  } catch (error) {
    if (error instanceof Failure && error.status === 401) {
      return false;
    }
    throw error;
  }
}

export const currentSession = () => session;

/** @type {Record<"read" | "publish" | "operate" | "administer", string[]>} */
const ROLES = {
  read: ["viewer", "publisher", "operator", "admin"],
  publish: ["publisher", "admin"],
  operate: ["operator", "admin"],
  administer: ["admin"],
};

/**
 * Whether the server would let this session do it.
 *
 * @param {keyof typeof ROLES} need
 */
export const may = (need) => session.open || ROLES[need].includes(session.role ?? "");
