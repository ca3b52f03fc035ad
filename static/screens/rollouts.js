import { html } from "../vendor/preact.js";
import { translator } from "../core/words.js";
import { Screen } from "../parts/common.js";

const t = translator({
  title: { en: "Rollouts", zh: "批量升级", ru: "Развёртывания" },
});

export default function Page() {
  return html`<${Screen} title=${t("title")} />`;
}
