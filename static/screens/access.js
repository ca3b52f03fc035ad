import { html } from "../vendor/preact.js";
import { translator } from "../core/words.js";
import { Screen } from "../parts/common.js";

const t = translator({
  title: { en: "Tokens and keys", zh: "令牌与密钥", ru: "Токены и ключи" },
});

export default function Page() {
  return html`<${Screen} title=${t("title")} />`;
}
