import { html } from "../vendor/preact.js";
import { translator } from "../core/words.js";
import { Screen } from "../parts/common.js";

const t = translator({
  title: { en: "Audit log", zh: "审计日志", ru: "Журнал аудита" },
});

export default function Page() {
  return html`<${Screen} title=${t("title")} />`;
}
