// How far each wave goes, and when the rollout stops by itself.

import { html } from "../../vendor/preact.js";
import { translator } from "../../core/words.js";
import { Section } from "../../parts/common.js";
import { Count } from "./field.js";

const t = translator("rollouts/waves");

/** @param {import("./field.js").Form} props */
export function Waves({ fields, set }) {
  const { waves } = fields;
  const write = (/** @type {number} */ place, /** @type {string} */ text) =>
    set({ waves: waves.map((wave, index) => (index === place ? text : wave)) });
  const remove = (/** @type {number} */ place) => set({ waves: waves.filter((_, index) => index !== place) });
  return html`<${Section} title=${t("waves")}>
    <p class="quiet">${t("cumulative")}</p>
    <ol class="wave-fields">
      ${waves.map((wave, index) => {
        const number = index + 1;
        return html`<li key=${index} class="row">
          <input type="number" inputmode="numeric" min="1" max="100" value=${wave} aria-label=${t("wave", { number })}
            onInput=${(/** @type {any} */ event) => write(index, event.target.value)} />
          <span aria-hidden="true">%</span>
          ${waves.length > 1 && html`<button type="button" class="quiet" aria-label=${t("remove", { number })} onClick=${() => remove(index)}>×</button>`}
        </li>`;
      })}
      <li><button type="button" onClick=${() => set({ waves: [...waves, ""] })}>${t("add")}</button></li>
    </ol>
    <div class="fields columns">
      <${Count} name="haltAtFailurePercent" label=${t("halt")} help=${t("haltHelp")} usual="10" max=${100} fields=${fields} set=${set} />
      <${Count} name="soakSeconds" label=${t("soak")} help=${t("soakHelp")} usual="0" fields=${fields} set=${set} />
      <${Count} name="maxInFlight" label=${t("inFlight")} help=${t("inFlightHelp")} usual="100" fields=${fields} set=${set} />
    </div>
  <//>`;
}
