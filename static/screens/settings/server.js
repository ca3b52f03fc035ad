// What the server runs with.

import { html, useState } from "../../vendor/preact.js";
import { get } from "../../core/api.js";
import { translator } from "../../core/words.js";
import { Empty, Section, Shown, Time } from "../../parts/common.js";
import { useLoaded } from "../../parts/load.js";

/** @typedef {import("../../core/types.js").Setting} Setting */
/** @typedef {import("../../core/types.js").ServerSettings} ServerSettings */

const t = translator("settings/server");

/** @param {{settings: Setting[]}} props */
const Table = ({ settings }) => html`<div class="scroll"><table class="options">
  <thead><tr>
    <th scope="col">${t("option")}</th><th scope="col">${t("value")}</th>
    <th scope="col">${t("source")}</th><th scope="col">${t("help")}</th>
  </tr></thead>
  <tbody>${settings.map(
    ({ name, value, help, source }) => html`<tr key=${name}>
      <th scope="row"><code>${name}</code></th>
      <td>${value ? html`<code>${value}</code>` : html`<span class="quiet">${t("unset")}</span>`}</td>
      <td>${source}</td>
      <td lang="en">${help}</td>
    </tr>`,
  )}</tbody>
</table></div>`;

/** @param {{settings: Setting[]}} props */
function Options({ settings }) {
  const [words, setWords] = useState("");
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  const found = settings.filter(({ name, value, help }) => {
    const text = `${name} ${value ?? ""} ${help}`.toLowerCase();
    return wanted.every((word) => text.includes(word));
  });
  return html`<${Section} title=${t("options")}>
    <p class="quiet">${t("how")}</p>
    <div class="row">
      <label>${t("search")} <input type="search" value=${words} onInput=${(/** @type {any} */ event) => setWords(event.target.value)} /></label>
      <span class="quiet" role="status">${t("found", { count: found.length })}</span>
    </div>
    ${found.length > 0 ? html`<${Table} settings=${found} />` : html`<${Empty}>${t("none")}<//>`}
  <//>`;
}

export function ServerSettings() {
  const loaded = useLoaded((signal) => get("/api/ota/settings", {}, signal), []);
  return html`<${Shown} of=${loaded}>${(/** @type {ServerSettings} */ server) => html`
    <${Section} title=${t("title")}>
      <dl class="facts">
        <dt>${t("version")}</dt><dd>${server.version}</dd>
        <dt>${t("started")}</dt><dd><${Time} at=${server.startedAt} /></dd>
        <dt>${t("database")}</dt><dd>${server.database}</dd>
        <dt>${t("blobs")}</dt><dd>${server.blobs}</dd>
        <dt>${t("broker")}</dt><dd>${server.broker}</dd>
      </dl>
    <//>
    <${Options} settings=${server.settings} />`}<//>`;
}
