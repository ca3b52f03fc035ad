// Which gateways: all that is said must hold.

import { html } from "../../vendor/preact.js";
import { translator } from "../../core/words.js";
import { Section } from "../../parts/common.js";
import { Field, Input } from "./field.js";

const t = translator("rollouts/target");

/** @param {import("./field.js").Form} props */
function Tags({ fields: { tags }, set }) {
  const write = (/** @type {number} */ place, /** @type {Partial<import("./request.js").Tag>} */ change) =>
    set({ tags: tags.map((tag, index) => (index === place ? { ...tag, ...change } : tag)) });
  const remove = (/** @type {number} */ place) => set({ tags: tags.filter((_, index) => index !== place) });
  return html`<fieldset class="plain">
    <legend>${t("tags")}</legend>
    ${tags.map(({ key, value }, index) => {
      const number = index + 1;
      return html`<div key=${index} class="row tag">
        <input value=${key} aria-label=${t("key", { number })} onInput=${(/** @type {any} */ event) => write(index, { key: event.target.value })} />
        <span aria-hidden="true">=</span>
        <input value=${value} aria-label=${t("value", { number })} onInput=${(/** @type {any} */ event) => write(index, { value: event.target.value })} />
        <button type="button" class="quiet" aria-label=${t("remove", { number })} onClick=${() => remove(index)}>×</button>
      </div>`;
    })}
    <button type="button" class="small" onClick=${() => set({ tags: [...tags, { key: "", value: "" }] })}>${t("add")}</button>
  </fieldset>`;
}

/** @param {import("./field.js").Form} props */
export function Target({ fields, set }) {
  const onIds = (/** @type {any} */ event) => set({ gatewayIds: event.target.value });
  return html`<${Section} title=${t("target")}>
    <p class="quiet">${t("all")}</p>
    <div class="fields">
      <${Input} name="filter" label=${t("filter")} help=${t("filterHelp")} fields=${fields} set=${set} class="mono" spellcheck="false" />
    </div>
    <div class="fields columns">
      <${Tags} fields=${fields} set=${set} />
      <${Input} name="currentVersion" label=${t("currentVersion")} help=${t("currentVersionHelp")} fields=${fields} set=${set} />
    </div>
    <div class="fields">
      <${Field} label=${t("ids")} help=${t("idsHelp")}>
        <textarea class="mono" rows="2" spellcheck="false" value=${fields.gatewayIds} onInput=${onIds}></textarea>
      <//>
    </div>
  <//>`;
}
