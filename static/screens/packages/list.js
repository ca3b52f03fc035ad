// All versions of all packages, the newest upload first.

import { html, useEffect, useState } from "../../vendor/preact.js";
import { may } from "../../core/api.js";
import { bytes } from "../../core/format.js";
import { link, setQuery } from "../../core/router.js";
import { translator } from "../../core/words.js";
import { Empty, Screen, Shown, Time } from "../../parts/common.js";
import { More, useList } from "../../parts/list.js";
import { useSettled } from "../../parts/load.js";
import { Marks, Signer } from "./marks.js";
import { Push } from "./push.js";

const t = translator("packages/list");

/** @param {{packages: import("../../core/types.js").Package[]}} props */
const Table = ({ packages }) =>
  html`<div class="scroll"><table>
    <thead><tr>
      <th scope="col">${t("name")}</th>
      <th scope="col">${t("version")}</th>
      <th scope="col">${t("branch")}</th>
      <th scope="col">${t("mark")}</th>
      <th scope="col" class="number">${t("size")}</th>
      <th scope="col">${t("signer")}</th>
      <th scope="col">${t("updated")}</th>
    </tr></thead>
    <tbody>${packages.map((each) => html`<tr key=${each.id}>
      <td><a href=${link(["packages", each.name])}>${each.name}</a></td>
      <td><a href=${link(["packages", each.name], { branch: each.branch, version: each.version })}>${each.version}</a></td>
      <td>${each.branch}</td>
      <td><${Marks} of=${each} /></td>
      <td class="number">${bytes(each.fileSize)}</td>
      <td><${Signer} of=${each} /></td>
      <td><${Time} at=${each.updatedAt} /></td>
    </tr>`)}</tbody>
  </table></div>`;

/** @param {{query: Record<string, string>}} props */
export function PackageList({ query }) {
  const [name, setName] = useState(query.name ?? "");
  const [branch, setBranch] = useState(query.branch ?? "");
  const [pushes, setPushes] = useState(false);
  const wanted = useSettled({ name: name.trim(), branch: branch.trim() });
  useEffect(() => setQuery(wanted), [wanted]);
  const list = useList("/api/ota/packages", wanted, { kinds: ["package"] });
  const actions = may("publish") && html`<button type="button" class="primary" onClick=${() => setPushes(true)}>${t("push")}</button>`;
  return html`<${Screen} title=${t("title")} actions=${actions}>
    <section class="card">
      <div class="row">
        <label class="row">${t("name")}<input type="search" value=${name} spellcheck="false"
          onInput=${(/** @type {any} */ event) => setName(event.target.value)} /></label>
        <label class="row">${t("branch")}<input type="search" value=${branch} spellcheck="false"
          onInput=${(/** @type {any} */ event) => setBranch(event.target.value)} /></label>
      </div>
      <${Shown} of=${list}>${(/** @type {any[]} */ packages) =>
        packages.length === 0
          ? html`<${Empty}>${t("none")}<//>`
          : html`<${Table} packages=${packages} /><${More} list=${list} />`}<//>
    </section>
    ${pushes && html`<${Push} onClose=${() => setPushes(false)} />`}
  <//>`;
}
