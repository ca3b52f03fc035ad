// How far each wave goes, and when the rollout stops by itself.

import { html } from "../../vendor/preact.js";
import { translator } from "../../core/words.js";
import { Section } from "../../parts/common.js";
import { Count } from "./field.js";

const t = translator({
  waves: { en: "Waves", zh: "批次", ru: "Волны" },
  cumulative: {
    en: "Percent of the target, with the waves before. The next wave begins when the one before has succeeded.",
    zh: "占目标的累计百分比。前一批成功后才开始下一批。",
    ru: "Процент от цели вместе с предыдущими волнами. Следующая волна начинается, когда удалась предыдущая.",
  },
  wave: { en: "Wave {number}, percent", zh: "第 {number} 批（%）", ru: "Волна {number}, процент" },
  remove: { en: "Remove wave {number}", zh: "移除第 {number} 批", ru: "Убрать волну {number}" },
  add: { en: "Add a wave", zh: "添加批次", ru: "Добавить волну" },
  halt: { en: "Halt at failures above, percent", zh: "失败率超过多少时中止（%）", ru: "Остановить, если сбоев больше, %" },
  haltHelp: { en: "Of a wave; looked at with every failure.", zh: "按单个批次计算，每次失败都会检查。", ru: "От волны; проверяется при каждом сбое." },
  soak: { en: "Soak after a wave, seconds", zh: "每批之后的观察时间（秒）", ru: "Выдержка после волны, секунд" },
  soakHelp: {
    en: "Gateways that fall back to another version meanwhile have failed.",
    zh: "观察期内回退到其他版本的网关算作失败。",
    ru: "Шлюзы, вернувшиеся за это время к другой версии, считаются сбойными.",
  },
  inFlight: { en: "Gateways at the same time", zh: "同时升级的网关数", ru: "Шлюзов одновременно" },
  inFlightHelp: { en: "At most so many update at once.", zh: "同时进行升级的上限。", ru: "Столько обновляется одновременно, не больше." },
});

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
