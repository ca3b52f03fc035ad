import { html } from "../vendor/preact.js";
import { translator } from "../core/words.js";
import { Screen } from "../parts/common.js";

const t = translator({
  title: { en: "Firmware", zh: "固件", ru: "Прошивки" },
});

export default function Page() {
  return html`<${Screen} title=${t("title")} />`;
}
