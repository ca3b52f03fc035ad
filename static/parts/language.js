// Which language the page speaks.

import { html } from "../vendor/preact.js";
import { LANGUAGES, language, setLanguage } from "../core/words.js";

/** The languages, each in its own words. */
export const Languages = () => html`<div class="languages">
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
