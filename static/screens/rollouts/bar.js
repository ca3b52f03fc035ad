// A rollout's waves as one bar that fills: each as wide as its share, with the same in a table.

import { html } from "../../vendor/preact.js";
import { number, time } from "../../core/format.js";
import { translator } from "../../core/words.js";
import { Empty, statusWord } from "../../parts/common.js";
import { inWords, Legend, Segments, STATES } from "./segments.js";

const t = translator("rollouts/bar");

/** @typedef {import("../../core/types.js").Rollout} Rollout */

/** @param {{rollout: Rollout}} props */
function Table({ rollout }) {
  const short = (/** @type {string | null | undefined} */ at) => (at ? time(at, { dateStyle: "short", timeStyle: "medium" }) : "–");
  return html`<details>
    <summary>${t("table")}</summary>
    <div class="scroll"><table>
      <thead><tr>
        <th scope="col">${t("number")}</th>
        <th scope="col" class="number">%</th>
        <th scope="col" class="number">${t("gateways")}</th>
        ${STATES.map((state) => html`<th scope="col" class="number" key=${state}>${statusWord(state)}</th>`)}
        <th scope="col">${t("begun")}</th>
        <th scope="col">${t("ended")}</th>
      </tr></thead>
      <tbody>${rollout.waveCounters.map((wave) => html`<tr key=${wave.wave}>
        <th scope="row">${wave.wave}</th>
        <td class="number">${wave.percent}</td>
        <td class="number">${number(wave.total)}</td>
        ${STATES.map((state) => html`<td class="number" key=${state}>${number(wave[state])}</td>`)}
        <td>${short(wave.startedAt)}</td>
        <td>${short(wave.endedAt)}</td>
      </tr>`)}</tbody>
    </table></div>
  </details>`;
}

/** @param {{rollout: Rollout}} props */
export function WavesBar({ rollout }) {
  const { counters, enrolled, waveCounters } = rollout;
  if (!enrolled) {
    return html`<p>${t("enrolling", { count: counters.total })}</p>`;
  }
  if (counters.total === 0) {
    return html`<${Empty}>${t("empty")}<//>`;
  }
  return html`<div class="waves-bar">
      ${waveCounters.map((wave) => html`<div key=${wave.wave} style=${{ flexGrow: wave.total }} data-now=${wave.wave === rollout.wave || undefined}>
        <p title=${t("wave", { wave: wave.wave })}>${wave.wave} · ${t("upTo", { percent: wave.percent })}</p>
        <${Segments} counts=${wave} label=${t("says", { wave: wave.wave, percent: wave.percent, what: inWords(wave) })} />
      </div>`)}
    </div>
    <${Legend} counts=${counters} />
    <${Table} rollout=${rollout} />`;
}
