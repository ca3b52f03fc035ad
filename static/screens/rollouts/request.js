// What was typed, as the API takes it. What makes no sense is left to the server, which says why.

/** @typedef {import("../../core/types.js").RolloutRequest} RolloutRequest */
/** @typedef {{key: string, value: string}} Tag */
/**
 * @typedef {{
 *   deviceType: string, version: string, name: string,
 *   filter: string, currentVersion: string, gatewayIds: string, tags: Tag[],
 *   waves: string[], soakSeconds: string, haltAtFailurePercent: string, maxInFlight: string,
 *   commandsPerMinute: string, jitterSeconds: string, taskTimeoutSeconds: string,
 *   startAt: string, joinUntil: string, from: string, to: string, timezone: string,
 *   forceUpgrade: boolean, seed: string,
 * }} Fields
 */

export const READERS_ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone;

/** @type {Fields} */
const EMPTY = {
  deviceType: "",
  version: "",
  name: "",
  filter: "",
  currentVersion: "",
  gatewayIds: "",
  tags: [],
  waves: ["1", "10", "100"],
  soakSeconds: "",
  haltAtFailurePercent: "",
  maxInFlight: "",
  commandsPerMinute: "",
  jitterSeconds: "",
  taskTimeoutSeconds: "",
  startAt: "",
  joinUntil: "",
  from: "",
  to: "",
  timezone: READERS_ZONE,
  forceUpgrade: false,
  seed: "",
};

/**
 * The fields of a new form; an address can fill in some.
 *
 * @param {Record<string, string>} wanted
 * @returns {Fields}
 */
export function fieldsFor(wanted) {
  const { deviceType = "", version = "", filter = "", gatewayIds = "" } = wanted;
  return { ...EMPTY, deviceType, version, filter, gatewayIds };
}

/** @param {string} text */
const textOf = (text) => text.trim() || undefined;

/** @param {string} text */
const numberOf = (text) => (text === "" ? undefined : Number(text));

/** @param {string} text in the reader's zone */
function timeOf(text) {
  const at = Date.parse(text);
  return Number.isNaN(at) ? textOf(text) : new Date(at).toISOString();
}

/** @param {Fields} fields */
function targetOf({ filter, currentVersion, gatewayIds, tags }) {
  const ids = gatewayIds.split(/[\s,;]+/).filter(Boolean);
  const named = tags.filter(({ key, value }) => key !== "" || value !== "");
  return {
    filter: textOf(filter),
    currentVersion: textOf(currentVersion),
    gatewayIds: ids.length > 0 ? ids : undefined,
    tags: named.length > 0 ? Object.fromEntries(named.map(({ key, value }) => [key, value])) : undefined,
  };
}

/**
 * @param {Fields} fields
 * @returns {RolloutRequest}
 */
export function requestOf(fields) {
  const { from, to, timezone } = fields;
  return {
    deviceType: textOf(fields.deviceType),
    version: fields.version,
    name: textOf(fields.name),
    target: /** @type {any} */ (targetOf(fields)),
    waves: fields.waves.filter((wave) => wave !== "").map(Number),
    soakSeconds: numberOf(fields.soakSeconds),
    haltAtFailurePercent: numberOf(fields.haltAtFailurePercent),
    maxInFlight: numberOf(fields.maxInFlight),
    commandsPerMinute: numberOf(fields.commandsPerMinute),
    jitterSeconds: numberOf(fields.jitterSeconds),
    taskTimeoutSeconds: numberOf(fields.taskTimeoutSeconds),
    startAt: timeOf(fields.startAt),
    joinUntil: timeOf(fields.joinUntil),
    window: from || to ? { from, to, timezone } : undefined,
    forceUpgrade: fields.forceUpgrade || undefined,
    seed: numberOf(fields.seed),
  };
}
