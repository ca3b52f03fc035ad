// One package: its branches, the versions of a branch, one version whole.

import { html, useState } from "../../vendor/preact.js";
import { address, change, get, may, segment } from "../../core/api.js";
import { bytes, number } from "../../core/format.js";
import { link } from "../../core/router.js";
import { translator } from "../../core/words.js";
import { Empty, Screen, Section, Shown, Time } from "../../parts/common.js";
import { FormDialog } from "../../parts/dialog.js";
import { More, useList } from "../../parts/list.js";
import { useLive } from "../../parts/load.js";
import { say } from "../../parts/toast.js";
import { Marks, Signer } from "./marks.js";
import { Version } from "./version.js";

const t = translator("packages/package");

/** @typedef {import("../../core/types.js").Package} Package */
/** @typedef {{branch: string, head: string | null, versions: number, withdrawn: number}} Branch */

/** @param {{name: string, branches: Branch[], at: string}} props */
const Branches = ({ name, branches, at }) =>
  html`<${Section} title=${t("branches")}>
    <div class="scroll"><table>
      <thead><tr>
        <th scope="col">${t("branch")}</th>
        <th scope="col">${t("head")}</th>
        <th scope="col" class="number">${t("count")}</th>
        <th scope="col" class="number">${t("withdrawn")}</th>
      </tr></thead>
      <tbody>${branches.map(({ branch, head, versions, withdrawn }) => html`<tr key=${branch}>
        <td><a href=${link(["packages", name], { branch })} aria-current=${branch === at || undefined}>${branch}</a></td>
        <td>${head ?? html`<span class="quiet">${t("none")}</span>`}</td>
        <td class="number">${number(versions)}</td>
        <td class="number">${number(withdrawn)}</td>
      </tr>`)}</tbody>
    </table></div>
  <//>`;

/** @param {{name: string, branch: Branch, versions: Package[], onClose: () => void}} props */
function RollBack({ name, branch: { branch, head }, versions, onClose }) {
  const earlier = versions.filter((each) => !each.withdrawnAt && !each.head);
  const submit = async (/** @type {Record<string, string>} */ { to }) => {
    const path = address(`/api/ota/packages/${segment(name)}/rollback`, { branch, to });
    const { version } = await change("POST", path);
    say(t("rolledBack", { name, branch, version }));
  };
  return html`<${FormDialog} title=${t("rollbackTitle", { name, branch })} action=${t("rollback")} danger submit=${submit} onClose=${onClose}>
    <label>${t("to")}<select name="to">
      <option value="">${t("oneBack", { head: head ?? "" })}</option>
      ${earlier.map(({ version }) => html`<option key=${version} value=${version}>${version}</option>`)}
    </select></label>
    <p>${t("meaning")}</p>
  <//>`;
}

/** @param {{name: string, branch: Branch, list: ReturnType<typeof useList>, at: string | null}} props */
function Versions({ name, branch, list, at }) {
  const [rollsBack, setRollsBack] = useState(false);
  const actions =
    branch.head !== null && may("publish") && html`<button type="button" onClick=${() => setRollsBack(true)}>${t("rollback")}</button>`;
  return html`<${Section} title=${t("versions", { branch: branch.branch })} actions=${actions}>
    <${Shown} of=${list}>${(/** @type {Package[]} */ versions) => html`
      <div class="scroll"><table>
        <thead><tr>
          <th scope="col">${t("version")}</th>
          <th scope="col">${t("mark")}</th>
          <th scope="col" class="number">${t("size")}</th>
          <th scope="col">${t("signer")}</th>
          <th scope="col">${t("updated")}</th>
        </tr></thead>
        <tbody>${versions.map((each) => html`<tr key=${each.id}>
          <td><a href=${link(["packages", name], { branch: each.branch, version: each.version })}
            aria-current=${each.version === at || undefined}>${each.version}</a></td>
          <td><${Marks} of=${each} /></td>
          <td class="number">${bytes(each.fileSize)}</td>
          <td><${Signer} of=${each} /></td>
          <td><${Time} at=${each.updatedAt} /></td>
        </tr>`)}</tbody>
      </table></div>
      <${More} list=${list} />
      ${rollsBack && html`<${RollBack} name=${name} branch=${branch} versions=${versions} onClose=${() => setRollsBack(false)} />`}`}<//>
  <//>`;
}

/** The branch that the address names, else the first. @param {{name: string, branches: Branch[], query: Record<string, string>}} props */
function Branched({ name, branches, query }) {
  const branch = branches.find((each) => each.branch === query.branch) ?? branches[0];
  const list = useList("/api/ota/packages", { name, branch: branch?.branch }, { kinds: ["package"] });
  if (!branch) {
    return html`<${Empty}>${t("gone")}<//>`;
  }
  const version = query.version ?? branch.head ?? list.data?.[0]?.version ?? null;
  return html`<${Branches} name=${name} branches=${branches} at=${branch.branch} />
    <${Versions} name=${name} branch=${branch} list=${list} at=${version} />
    ${version !== null && html`<${Version} key=${`${branch.branch} ${version}`} name=${name} branch=${branch.branch} version=${version} />`}`;
}

/** @param {{name: string, query: Record<string, string>}} props */
export function PackagePage({ name, query }) {
  const loaded = useLive(
    (signal) => get(`/api/ota/packages/${segment(name)}`, {}, signal),
    [name],
    { kinds: ["package"] },
  );
  const actions = html`<a class="button" href=${link(["packages"])}>${t("all")}</a>`;
  return html`<${Screen} title=${name} actions=${actions}>
    <${Shown} of=${loaded}>${(/** @type {{branches: Branch[]}} */ { branches }) =>
      html`<${Branched} name=${name} branches=${branches} query=${query} />`}<//>
  <//>`;
}
