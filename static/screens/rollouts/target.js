// Which gateways: all that is said must hold.

import { html } from "../../vendor/preact.js";
import { translator } from "../../core/words.js";
import { Section } from "../../parts/common.js";
import { Field, Input } from "./field.js";

const t = translator({
  target: { en: "Which gateways", zh: "哪些网关", ru: "Какие шлюзы" },
  all: {
    en: "All of the device type, unless you narrow it down. All that you say must hold.",
    zh: "默认为该设备类型的全部网关。填写的条件必须同时满足。",
    ru: "Все шлюзы этого типа, если не сузить выбор. Должны выполняться все условия.",
  },
  filter: { en: "Filter", zh: "筛选条件", ru: "Фильтр" },
  filterHelp: {
    en: "Terms with blanks between them: tag:site=lab, tag:site, version<1.0.2, version:unknown, online:true, id:HQ2026*",
    zh: "各条件以空格分隔：tag:site=lab、tag:site、version<1.0.2、version:unknown、online:true、id:HQ2026*",
    ru: "Условия через пробел: tag:site=lab, tag:site, version<1.0.2, version:unknown, online:true, id:HQ2026*",
  },
  tags: { en: "Tags", zh: "标签", ru: "Метки" },
  key: { en: "Tag {number}, key", zh: "标签 {number} 的键", ru: "Метка {number}, ключ" },
  value: { en: "Tag {number}, value", zh: "标签 {number} 的值", ru: "Метка {number}, значение" },
  remove: { en: "Remove tag {number}", zh: "移除标签 {number}", ru: "Убрать метку {number}" },
  add: { en: "Add a tag", zh: "添加标签", ru: "Добавить метку" },
  currentVersion: { en: "Runs now", zh: "当前版本", ru: "Текущая версия" },
  currentVersionHelp: { en: "A condition such as <1.0.2", zh: "条件，例如 <1.0.2", ru: "Условие, например <1.0.2" },
  ids: { en: "Only these ids", zh: "仅限这些 ID", ru: "Только эти ID" },
  idsHelp: {
    en: "One per line, or with commas or blanks between them; 10,000 at most.",
    zh: "每行一个，或用逗号、空格分隔；最多 10,000 个。",
    ru: "По одному в строке либо через запятую или пробел; не больше 10 000.",
  },
});

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
