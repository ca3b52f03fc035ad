// A firmware's status, and the buttons for what may come next.

import { html, useState } from "../../vendor/preact.js";
import { change, may } from "../../core/api.js";
import { translator } from "../../core/words.js";
import { Status } from "../../parts/common.js";
import { FormDialog } from "../../parts/dialog.js";
import { say } from "../../parts/toast.js";
import { apiOf, nameOf, soon, step, stepSoon } from "./steps.js";

/** @typedef {import("../../core/types.js").Firmware} Firmware */

const t = translator({
  soon_testing: { en: "will be in testing in a moment", zh: "即将进入测试", ru: "сейчас перейдёт в тестирование" },
  soon_released: { en: "will be released in a moment", zh: "即将发布", ru: "сейчас будет выпущена" },
  test: { en: "Start testing", zh: "开始测试", ru: "Тестировать" },
  test_name: { en: "Start testing {name}", zh: "开始测试 {name}", ru: "Тестировать {name}" },
  release: { en: "Release", zh: "发布", ru: "Выпустить" },
  release_name: { en: "Release {name}", zh: "发布 {name}", ru: "Выпустить {name}" },
  deprecate: { en: "Deprecate", zh: "弃用", ru: "Пометить устаревшей" },
  deprecate_title: { en: "Deprecate {name}?", zh: "弃用 {name}？", ru: "Пометить {name} устаревшей?" },
  deprecate_text: {
    en: "No gateway gets it any more, and it cannot be released again. Gateways that run it stay as they are.",
    zh: "不再有网关会收到它，也无法重新发布。正在运行它的网关保持不变。",
    ru: "Её больше не получит ни один шлюз, и выпустить её снова нельзя. Шлюзы, где она работает, останутся как есть.",
  },
  delete: { en: "Delete the draft", zh: "删除草稿", ru: "Удалить черновик" },
  delete_title: { en: "Delete the draft {name}?", zh: "删除草稿 {name}？", ru: "Удалить черновик {name}?" },
  delete_text: {
    en: "Its file goes, too. The version may then be uploaded anew.",
    zh: "其文件也会被删除。之后可以重新上传此版本。",
    ru: "Файл тоже удалится. Потом эту версию можно загрузить заново.",
  },
  deleted: { en: "{name} is deleted.", zh: "{name} 已删除。", ru: "{name} удалена." },
});

/** @param {{firmware: Firmware}} props */
export function StatusOf({ firmware }) {
  switch (soon(firmware)) {
    case "testing":
      return html`<span class="status" data-status="pending">${t("soon_testing")}</span>`;
    case "released":
      return html`<span class="status" data-status="pending">${t("soon_released")}</span>`;
    default:
      return html`<${Status} of=${firmware.status} />`;
  }
}

/** @param {{firmware: Firmware, small?: boolean}} props */
export function StepButtons({ firmware, small }) {
  if (!may("publish") || soon(firmware)) {
    return null;
  }
  const name = nameOf(firmware);
  const size = small ? "small" : "";
  const isDraft = firmware.status === "draft";
  return html`${isDraft &&
    html`<button type="button" class=${size} aria-label=${t("test_name", { name })} onClick=${() => stepSoon(firmware, "testing")}>${t("test")}</button>`}
    ${(isDraft || firmware.status === "testing") &&
    html`<button type="button" class="primary ${size}" aria-label=${t("release_name", { name })} onClick=${() => stepSoon(firmware, "released")}>
      ${t("release")}
    </button>`}`;
}

/** What asks before. @param {{firmware: Firmware, onDeleted: () => void}} props */
export function EndButtons({ firmware, onDeleted }) {
  const [asking, setAsking] = useState(false);
  const isDraft = firmware.status === "draft";
  if (!may("publish") || soon(firmware) || !(isDraft || firmware.status === "released")) {
    return null;
  }
  const name = nameOf(firmware);
  const remove = async () => {
    await change("DELETE", apiOf(firmware));
    say(t("deleted", { name }));
    onDeleted();
  };
  return html`<button type="button" onClick=${() => setAsking(true)}>${isDraft ? t("delete") : t("deprecate")}</button>
    ${asking &&
    html`<${FormDialog}
      danger
      title=${isDraft ? t("delete_title", { name }) : t("deprecate_title", { name })}
      action=${isDraft ? t("delete") : t("deprecate")}
      submit=${isDraft ? remove : () => step(firmware, "deprecated")}
      onClose=${() => setAsking(false)}
    >
      <p>${isDraft ? t("delete_text") : t("deprecate_text")}</p>
    <//>`}`;
}
