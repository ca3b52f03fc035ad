import { html } from "../vendor/preact.js";
import { translator } from "../core/words.js";
import { Screen } from "../parts/common.js";

const t = translator({
  title: { en: "Gateways", zh: "网关", ru: "Шлюзы" },
});

export default function Page() {
  return html`<${Screen} title=${t("title")} />`;
}
