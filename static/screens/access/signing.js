// The keys whose signatures on bundles are trusted.

import { html } from "../../vendor/preact.js";
import { get } from "../../core/api.js";
import { translator } from "../../core/words.js";
import { Copy, Empty, Section, Shown, Status, Time } from "../../parts/common.js";
import { useLoaded } from "../../parts/load.js";

/** @typedef {import("../../core/types.js").SigningKey} SigningKey */
/** @typedef {import("../../core/types.js").SigningKeys} SigningKeys */

const t = translator("access/signing");

/** @param {{keys: SigningKey[]}} props */
const Table = ({ keys }) => html`<div class="scroll"><table>
  <thead><tr>
    <th scope="col">${t("name")}</th><th scope="col">${t("fingerprint")}</th><th scope="col">${t("whose")}</th>
    <th scope="col">${t("algorithm")}</th><th scope="col">${t("made")}</th><th scope="col">${t("expires")}</th>
  </tr></thead>
  <tbody>${keys.map(
    (key) => html`<tr key=${key.fingerprint}>
      <th scope="row">${key.name} ${key.revoked && html`<${Status} of="revoked" />`}</th>
      <td><code>${key.fingerprint}</code> <${Copy} text=${key.fingerprint} label=${`${t("fingerprint")} ${key.name}`} /></td>
      <td>${key.userIds.map((userId) => html`<div key=${userId}>${userId}</div>`)}</td>
      <td>${key.algorithm}</td>
      <td><${Time} at=${key.createdAt} /></td>
      <td><${Time} at=${key.expiresAt} /></td>
    </tr>`,
  )}</tbody>
</table></div>`;

export function SigningKeys() {
  const loaded = useLoaded((signal) => get("/api/ota/signing-keys", {}, signal), []);
  return html`<${Section} title=${t("title")}>
    <${Shown} of=${loaded}>${(/** @type {SigningKeys} */ { required, items }) => html`
      <p class="quiet">${required ? t("required") : t("free")}</p>
      ${items.length > 0 ? html`<${Table} keys=${items} />` : html`<${Empty}>${t("none")}<//>`}`}<//>
  <//>`;
}
