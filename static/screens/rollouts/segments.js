// Gateways by state, as a bar.

import { html } from "../../vendor/preact.js";
import { number } from "../../core/format.js";
import { statusWord } from "../../parts/common.js";

/** @typedef {import("../../core/types.js").RolloutGateway["state"]} State */
/** @typedef {Record<State, number>} Counts */

/** As the bar fills: what is certain first. */
export const STATES = /** @type {State[]} */ (["confirmed", "failed", "skipped", "cancelled", "active", "waiting"]);

/** The engine looks at gateways that update twice a second. */
export const AFTERMATH_MS = 1500;

/** @param {Counts} counts */
const present = (counts) => STATES.filter((state) => counts[state] > 0);

/** @param {Counts} counts */
export const inWords = (counts) =>
  present(counts).map((state) => `${number(counts[state])} ${statusWord(state)}`).join(", ");

/** @param {{counts: Counts, label: string}} props */
export const Segments = ({ counts, label }) =>
  html`<div class="segments" role="img" aria-label=${label}>
    ${present(counts).map(
      (state) => html`<span key=${state} data-state=${state} style=${{ flexGrow: counts[state] }}></span>`,
    )}
  </div>`;

/** @param {{counts: Counts}} props */
export const Legend = ({ counts }) =>
  html`<ul class="legend">
    ${STATES.map(
      (state) => html`<li key=${state}><span class="swatch" data-state=${state} aria-hidden="true"></span>
        ${statusWord(state)} <strong>${number(counts[state])}</strong></li>`,
    )}
  </ul>`;
