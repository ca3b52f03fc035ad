// Which version lies in which slot of the flash, as the gateway itself says.

import { html } from "../../vendor/preact.js";
import { translator } from "../../core/words.js";
import { Section } from "../../parts/common.js";

const t = translator("gateway/slots");

/**
 * @param {Record<string, unknown>} attributes of a heartbeat
 * @returns {{name: string, version: string | null, runs: boolean}[]}
 */
export function slotsOf({ slot, slots }) {
  const versions = typeof slots === "object" && slots !== null && !Array.isArray(slots) ? slots : {};
  const known = Object.entries(versions).map(([name, version]) => ({
    name,
    version: typeof version === "string" ? version : null,
    runs: name === slot,
  }));
  if (typeof slot === "string" && !known.some(({ runs }) => runs)) {
    known.push({ name: slot, version: null, runs: true });
  }
  return known.sort((one, other) => one.name.localeCompare(other.name));
}

/** @param {{slots: ReturnType<typeof slotsOf>}} props */
export function Slots({ slots }) {
  return html`<${Section} title=${t("title")} id="slots">
    <ul class="slots">
      ${slots.map(
        ({ name, version, runs }) => html`<li key=${name} data-runs=${runs}>
          <code>${name}</code>
          <b>${version ?? html`<span title=${t("unknown")}>?</span>`}</b>
          <span class="status" data-status=${runs ? "online" : undefined}>${runs ? t("running") : t("other")}</span>
        </li>`,
      )}
    </ul>
  <//>`;
}
