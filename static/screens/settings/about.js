// What this is, and whose work is in it.

import { html } from "../../vendor/preact.js";
import { translator } from "../../core/words.js";
import { Section, Shown } from "../../parts/common.js";
import { useLoaded } from "../../parts/load.js";

const t = translator("settings/about");

/** Name, licence, file of `vendor/licences`. */
const LIBRARIES = [
  ["Preact", "MIT", "preact"],
  ["htm", "Apache-2.0", "htm"],
  ["uPlot", "MIT", "uplot"],
  ["marked", "MIT", "marked"],
  ["noble-hashes", "MIT", "hashes"],
  ["fzstd", "MIT", "fzstd"],
];

/** @param {AbortSignal} signal @returns {Promise<string>} */
async function version(signal) {
  const answer = await fetch("/openapi.json", { signal });
  return (await answer.json()).info.version;
}

export function About() {
  const loaded = useLoaded(version, []);
  return html`<${Section} title=${t("about")}>
      <${Shown} of=${loaded}>${(/** @type {string} */ version) => html`<dl class="facts">
        <dt>${t("version")}</dt><dd>${version}</dd>
        <dt>${t("licence")}</dt><dd>Apache-2.0</dd>
        <dt>${t("api")}</dt>
        <dd><a href="/docs">${t("docs")}</a>, <a href="/openapi.json">${t("description")}</a></dd>
      </dl>`}<//>
    <//>
    <${Section} title=${t("libraries")}>
      <ul class="libraries">${LIBRARIES.map(
        ([name, licence, file]) => html`<li key=${file}>${name} – <a href=${`/static/vendor/licences/${file}.txt`} aria-label=${`${name}: ${licence}`}>${licence}</a></li>`,
      )}</ul>
    <//>`;
}
