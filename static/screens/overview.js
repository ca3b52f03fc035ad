import { html } from "../vendor/preact.js";
import { translator } from "../core/words.js";
import { Screen } from "../parts/common.js";

const t = translator({
  title: { en: "Overview", zh: "概览", ru: "Обзор" },
});

export default function Page() {
  return html`<${Screen} title=${t("title")} />`;
}
