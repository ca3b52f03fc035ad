import { html } from "../vendor/preact.js";
import { translator } from "../core/words.js";
import { Screen } from "../parts/common.js";

const t = translator({
  title: { en: "Packages", zh: "软件包", ru: "Пакеты" },
});

export default function Page() {
  return html`<${Screen} title=${t("title")} />`;
}
