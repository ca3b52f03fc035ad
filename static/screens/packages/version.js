// One version of a package: what content.json says, what the file is, and what can be done with it.

import { html, useState } from "../../vendor/preact.js";
import { address, change, get, may, segment } from "../../core/api.js";
import { bytes } from "../../core/format.js";
import { go, link } from "../../core/router.js";
import { translator } from "../../core/words.js";
import { Copy, Section, Shown, Status, Time } from "../../parts/common.js";
import { FormDialog } from "../../parts/dialog.js";
import { useLive } from "../../parts/load.js";
import { say } from "../../parts/toast.js";
import { Marks } from "./marks.js";

const t = translator("packages/version");

/** @typedef {import("../../core/types.js").Package} Package */
/** @typedef {import("../../core/types.js").Firmware} Firmware */

/** As devices read it: an object, or the same as a text. @param {unknown} said @returns {Record<string, string>} */
function dependenciesOf(said) {
  if (typeof said === "string" && said.trim()) {
    try {
      return JSON.parse(said);
    } catch {
      return { [said]: "" };
    }
  }
  return said && typeof said === "object" ? /** @type {Record<string, string>} */ (said) : {};
}

/** @param {{said: unknown}} props */
function Dependencies({ said }) {
  const entries = Object.entries(dependenciesOf(said));
  return entries.length === 0
    ? html`<span class="quiet">${t("nothing")}</span>`
    : html`<ul class="needs">${entries.map(([name, requirement]) => html`<li key=${name}>
        <a href=${link(["packages", name])}>${name}</a> <code>${requirement || "*"}</code></li>`)}</ul>`;
}

/** @param {{content: Record<string, any>}} props */
function Content({ content }) {
  const command = (/** @type {string | undefined} */ text) => text && html`<code>${text}</code>`;
  const facts = [
    [t("description"), content.description],
    [t("dependencies"), html`<${Dependencies} said=${content.dependencies} />`],
    [t("before"), command(content.BeforeUpdate)],
    [t("after"), command(content.AfterUpdate)],
    [t("health"), command(content.health)],
    [t("restore"), command(content.restore)],
    [t("local"), command(content.local)],
    [t("remote"), command(content.remote)],
  ];
  return facts.filter(([, value]) => value).map(([name, value]) => html`<dt key=${name}>${name}</dt><dd>${value}</dd>`);
}

/** @param {{of: Package}} props */
const Digests = ({ of: { sha256, md5 } }) =>
  [["SHA-256", sha256], ["MD5", md5]].map(([name, hex]) =>
    html`<dt key=${name}>${name}</dt><dd><code>${hex}</code> <${Copy} text=${hex} label=${name} /></dd>`);

/** The firmwares that this version was released as. @param {Package} shown */
function useFirmwares({ name, branch, version }) {
  const load = async (/** @type {AbortSignal} */ signal) => {
    const { items } = await get("/api/ota/firmware", { limit: 500 }, signal);
    return /** @type {Firmware[]} */ (items).filter(
      (each) => each.version === version && each.package?.name === name && each.package.branch === branch,
    );
  };
  return useLive(load, [name, branch, version], { kinds: ["firmware", "package"] });
}

/** @param {{shown: Package}} props */
function ReleasedAs({ shown }) {
  const firmwares = useFirmwares(shown).data ?? [];
  return firmwares.length > 0 && html`<dt>${t("firmware")}</dt><dd>${firmwares.map((each) => html`<p key=${each.deviceType}>
    <a href=${link(["firmware", each.deviceType, each.version])}>${each.deviceType} ${each.version}</a> <${Status} of=${each.status} /></p>`)}</dd>`;
}

/** @param {{shown: Package, onClose: () => void}} props */
function Release({ shown: { name, branch, version }, onClose }) {
  const submit = async (/** @type {Record<string, string>} */ { deviceType }) => {
    const path = `/api/ota/packages/${segment(name)}/${segment(version)}/release`;
    const firmware = await change("POST", address(path, { branch, deviceType }));
    say(t("released", { deviceType: firmware.deviceType, version: firmware.version }));
  };
  return html`<${FormDialog} title=${t("releaseTitle", { name, version })} action=${t("release")} submit=${submit} onClose=${onClose}>
    <label>${t("deviceType")}<input name="deviceType" value="linux" required spellcheck="false" /></label>
    <p>${t("releaseMeaning")}</p>
  <//>`;
}

/** @param {{shown: Package, onClose: () => void}} props */
function Delete({ shown: { name, branch, version }, onClose }) {
  const submit = async () => {
    await change("DELETE", address(`/api/ota/packages/${segment(name)}/${segment(version)}`, { branch }));
    say(t("deleted", { name, version }));
    go(["packages", name], { branch });
  };
  return html`<${FormDialog} title=${t("deleteTitle", { name, version, branch })} action=${t("delete")} danger submit=${submit} onClose=${onClose}>
    <p>${t("deleteMeaning")}</p>
  <//>`;
}

/** @param {{shown: Package}} props */
function Actions({ shown }) {
  const [asks, setAsks] = useState(/** @type {"release" | "delete" | null} */ (null));
  const close = () => setAsks(null);
  return html`
    ${!shown.withdrawnAt && html`<button type="button" onClick=${() => setAsks("release")}>${t("release")}</button>`}
    <button type="button" class="danger" onClick=${() => setAsks("delete")}>${t("delete")}</button>
    ${asks === "release" && html`<${Release} shown=${shown} onClose=${close} />`}
    ${asks === "delete" && html`<${Delete} shown=${shown} onClose=${close} />`}`;
}

/** @param {{shown: Package}} props */
const Facts = ({ shown }) => html`
  <p><${Marks} of=${shown} /></p>
  <dl class="facts">
    <${Content} content=${shown.content} />
    <dt>${t("file")}</dt><dd>${bytes(shown.fileSize)} <a href=${`/otafiles/${shown.sha256}`} download=${`${shown.name}-${shown.version}`}>${t("download")}</a></dd>
    <${Digests} of=${shown} />
    <dt>${t("signer")}</dt><dd>${shown.signedBy ? html`${shown.signedBy.name} <code>${shown.signedBy.fingerprint}</code>` : t("unsigned")}</dd>
    <${ReleasedAs} shown=${shown} />
    ${shown.withdrawnAt && html`<dt>${t("withdrawnAt")}</dt><dd><${Time} at=${shown.withdrawnAt} exact /></dd>`}
    <dt>${t("created")}</dt><dd><${Time} at=${shown.createdAt} exact /></dd>
    <dt>${t("updated")}</dt><dd><${Time} at=${shown.updatedAt} exact /></dd>
  </dl>
  <details>
    <summary>${t("whole")}</summary>
    <pre class="content scroll" tabindex="0">${JSON.stringify(shown.content, null, 2)}</pre>
  </details>`;

/** @param {{name: string, branch: string, version: string}} props */
export function Version({ name, branch, version }) {
  const loaded = useLive(
    (signal) => /** @type {Promise<Package>} */ (get(`/api/ota/packages/${segment(name)}/${segment(version)}`, { branch }, signal)),
    [name, branch, version],
    { kinds: ["package"] },
  );
  const actions = loaded.data && may("publish") && html`<${Actions} shown=${loaded.data} />`;
  return html`<${Section} title=${`${name} ${version}`} actions=${actions}>
    <${Shown} of=${loaded}>${(/** @type {Package} */ shown) => html`<${Facts} shown=${shown} />`}<//>
  <//>`;
}
