// Which language the page speaks.

import { html } from "../vendor/preact.js";
import { LANGUAGES, language, setLanguage, translator } from "../core/words.js";

const t = translator({
  language: { en: "Language", zh: "语言", ru: "Язык" },
});

/** The languages as buttons, each in its own words. */
export const Languages = () => html`<div class="languages" role="group" aria-label=${t("language")}>
  ${Object.entries(LANGUAGES).map(
    ([code, name]) => html`<button
      key=${code}
      type="button"
      class="small quiet"
      lang=${code}
      aria-pressed=${code === language()}
      onClick=${() => setLanguage(/** @type {any} */ (code))}
    >${name}</button>`,
  )}
</div>`;
