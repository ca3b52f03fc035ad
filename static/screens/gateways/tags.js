// Tags of many gateways, from a list.

import { html } from "../../vendor/preact.js";
import { change } from "../../core/api.js";
import { translator } from "../../core/words.js";
import { FormDialog } from "../../parts/dialog.js";
import { say } from "../../parts/toast.js";

const t = translator("gateways/tags");

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
