// Tags of many gateways, from a list.

import { html } from "../../vendor/preact.js";
import { change } from "../../core/api.js";
import { translator } from "../../core/words.js";
import { FormDialog } from "../../parts/dialog.js";
import { say } from "../../parts/toast.js";

const t = translator({
  title: { en: "Import tags", zh: "导入标签", ru: "Импорт меток" },
  import: { en: "Import", zh: "导入", ru: "Импортировать" },
  rule: {
    en: "CSV with a line of names: the first column is gatewayId, deviceType is the device type, each other a tag. An empty cell leaves what is there, a - removes the tag. Gateways never heard of are registered. All lines are taken or none.",
    zh: "带标题行的 CSV：第一列是 gatewayId，deviceType 列是设备类型，其余每列是一个标签。空单元格保持原值，- 删除标签。未知的网关会被注册。所有行要么全部导入，要么全部不导入。",
    ru: "CSV с первой строкой имён: первый столбец – gatewayId, deviceType – тип устройства, остальные – метки. Пустая ячейка ничего не меняет, «-» убирает метку. Неизвестные шлюзы регистрируются. Принимаются либо все строки, либо ни одной.",
  },
  file: { en: "File", zh: "文件", ru: "Файл" },
  text: { en: "Or the list itself", zh: "或直接粘贴列表", ru: "Или сам список" },
  empty: { en: "Choose a file, or paste the list.", zh: "请选择文件，或粘贴列表。", ru: "Выберите файл или вставьте список." },
  done: {
    en: { one: "{count} gateway read, {registered} registered, {changed} changed.", other: "{count} gateways read, {registered} registered, {changed} changed." },
    zh: "已读取 {count} 个网关，新注册 {registered} 个，变更 {changed} 个。",
    ru: {
      one: "Прочитан {count} шлюз, зарегистрировано: {registered}, изменено: {changed}.",
      few: "Прочитано {count} шлюза, зарегистрировано: {registered}, изменено: {changed}.",
      other: "Прочитано {count} шлюзов, зарегистрировано: {registered}, изменено: {changed}.",
    },
  },
});

const EXAMPLE = "gatewayId,deviceType,site,rack\nHQ2026TEST001,esp32,north lab,7\nHQ2026TEST002,,lab,-";

/** @param {{onClose: () => void, onDone: () => void}} props */
export function ImportTags({ onClose, onDone }) {
  const submit = async (/** @type {any} */ { file, text }) => {
    if (file.size === 0 && text.trim() === "") {
      throw new Error(t("empty"));
    }
    const list = new Blob([file.size > 0 ? file : text], { type: "text/csv" });
    const { gateways, registered, changed } = await change("POST", "/api/ota/gateways/tags", list);
    say(t("done", { count: gateways, registered, changed }));
    onDone();
  };
  return html`<${FormDialog} title=${t("title")} action=${t("import")} submit=${submit} onClose=${onClose}>
    <p class="help">${t("rule")}</p>
    <label>${t("file")}<input type="file" name="file" accept=".csv,text/csv" /></label>
    <label>${t("text")}<textarea name="text" class="mono" rows="5" placeholder=${EXAMPLE} spellcheck=${false}></textarea></label>
  <//>`;
}
