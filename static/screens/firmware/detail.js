// One firmware with all that is known of it.

import { html, useState } from "../../vendor/preact.js";
import { get } from "../../core/api.js";
import { bytes, number } from "../../core/format.js";
import { go, link } from "../../core/router.js";
import { translator } from "../../core/words.js";
import { Empty, Screen, Section, Shown, Time } from "../../parts/common.js";
import { useLive, useLoaded } from "../../parts/load.js";
import { Markdown } from "../../parts/markdown.js";
import { Facts, Signature, bundleRows, digestRows, imageRows, word } from "./facts.js";
import { fetchImage } from "./head.js";
import { EndButtons, StatusOf, StepButtons } from "./status.js";
import { apiOf, nameOf, newest, useSteps } from "./steps.js";

/** @typedef {import("../../core/types.js").Firmware} Firmware */

const t = translator("firmware/detail");

/** Downloads come from this server, whatever name devices know it by. @param {string} url */
const local = (url) => new URL(url, location.href).pathname;

/** @param {{deviceType: string, version: string}} props */
export function Detail({ deviceType, version }) {
  useSteps();
  const name = nameOf({ deviceType, version });
  const loaded = useLive((signal) => get(apiOf({ deviceType, version }), {}, signal), [name], { kinds: ["firmware"] });
  const firmware = loaded.data && newest(loaded.data);
  const actions =
    firmware &&
    html`<${StepButtons} firmware=${firmware} />
      <${EndButtons} firmware=${firmware} onDeleted=${() => go(["firmware"])} />`;
  return html`<${Screen} title=${name} actions=${actions}>
    <${Shown} of=${loaded}>${() => html`<${All} firmware=${firmware} />`}<//>
  <//>`;
}

/** @param {{firmware: Firmware}} props */
function All({ firmware }) {
  return html`<div class="cards">
      <${Section} title=${t("facts")}><${Facts} rows=${factRows(firmware)} /><${CompareWith} firmware=${firmware} /><//>
      <div class="stack">
        <${Section} title=${t("digests")}><${Facts} rows=${digestRows(firmware)} /><//>
        ${firmware.kind !== "web" && firmware.kind !== "package" && html`<${ImageSection} firmware=${firmware} />`}
      </div>
    </div>
    <${Section} title=${t("changelog")}>
      ${firmware.changelog ? html`<${Markdown} text=${firmware.changelog} />` : html`<${Empty}>${word("no_changelog")}<//>`}
    <//>
    ${firmware.parts && html`<${Parts} parts=${firmware.parts} />`}`;
}

/** @param {Firmware} firmware @returns {[string, any][]} */
function factRows(firmware) {
  const { package: origin, signedBy, manifestUrl, signatureUrl } = firmware;
  const time = (/** @type {string | null | undefined} */ at) => at && html`<${Time} at=${at} exact />`;
  return [
    [word("status"), html`<${StatusOf} firmware=${firmware} />`],
    [word("description"), firmware.description && html`<span class="description">${firmware.description}</span>`],
    [t("file"), html`<a href=${local(firmware.fileUrl)} download=${firmware.fileName}>${firmware.fileName}</a>`],
    [word("size"), `${bytes(firmware.fileSize)} (${number(firmware.fileSize)} B)`],
    [word("minVersion"), firmware.minVersion],
    [word("forced"), firmware.forceUpgrade && word("yes")],
    ...bundleRows(firmware),
    [word("signature"), html`<${Signature} of=${firmware} />`],
    [t("fingerprint"), signedBy && html`<code>${signedBy.fingerprint}</code>`],
    [
      t("signed_files"),
      manifestUrl &&
        html`<span class="row"><a href=${local(manifestUrl)} download>${t("manifest")}</a>
          ${signatureUrl && html`<a href=${local(signatureUrl)} download>${t("detached")}</a>`}</span>`,
    ],
    [t("package"), origin && html`<a href=${link(["packages"])}>${t("branch", { name: origin.name, branch: origin.branch })}</a>`],
    [t("withdrawn"), time(origin?.withdrawnAt)],
    [word("created"), time(firmware.createdAt)],
    [word("released"), time(firmware.releaseDate)],
    [t("updated"), time(firmware.updatedAt)],
    [word("gateways"), html`<${RunningOn} firmware=${firmware} />`],
  ];
}

/** @param {{deviceType: string, version: string}} firmware */
export const runningFilter = ({ deviceType, version }) => `type:${deviceType} version=${version}`;

/** How many gateways run it, and the way to them. @param {{firmware: Firmware}} props */
export function RunningOn({ firmware }) {
  const filter = runningFilter(firmware);
  const counted = useLive(
    (signal) => get("/api/ota/gateways", { filter, count: true, limit: 1 }, signal),
    [filter],
    { kinds: ["gateway"] },
  );
  return html`<${Shown} of=${counted}>
    ${(/** @type {{total: number}} */ { total }) => html`<a href=${link(["gateways"], { filter })}>${number(total)}</a>`}
  <//>`;
}

/** @param {{firmware: Firmware}} props */
function ImageSection({ firmware }) {
  const image = useLoaded((signal) => fetchImage(firmware, signal), [firmware.sha256]);
  return html`<${Section} title=${t("image")}>
    <${Shown} of=${image}>
      ${(/** @type {{image: import("./image.js").Image | null}} */ { image }) =>
        image ? html`<${Facts} rows=${imageRows(image)} />` : html`<${Empty}>${t("no_image")}<//>`}
    <//>
  <//>`;
}

/** @param {{parts: NonNullable<Firmware["parts"]>}} props */
function Parts({ parts }) {
  return html`<${Section} title=${t("parts")}>
    <div class="scroll" tabindex="0">
      <table>
        <thead>
          <tr>
            <th scope="col">${t("part")}</th>
            <th scope="col">${t("partition")}</th>
            <th scope="col" class="number">${word("size")}</th>
            <th scope="col">SHA-256</th>
          </tr>
        </thead>
        <tbody>
          ${parts.map(
            ({ name, partition, url, size, sha256 }) => html`<tr key=${name}>
              <th scope="row"><a href=${local(url)} download>${name}</a></th>
              <td><code>${partition}</code></td>
              <td class="number">${bytes(size)}</td>
              <td><code>${sha256}</code></td>
            </tr>`,
          )}
        </tbody>
      </table>
    </div>
  <//>`;
}

/** @param {{firmware: Firmware}} props */
function CompareWith({ firmware }) {
  const { deviceType, version } = firmware;
  const [wanted, setWanted] = useState(false);
  const others = useLoaded(
    async (signal) => (wanted ? (await get("/api/ota/firmware", { deviceType, limit: 500 }, signal)).items : []),
    [deviceType, wanted],
  );
  const compare = (/** @type {any} */ event) =>
    go(["firmware", "compare"], { a: `${deviceType}/${event.target.value}`, b: `${deviceType}/${version}` });
  const versions = (others.data ?? []).map((/** @type {Firmware} */ each) => each.version);
  return html`<label class="row">${t("compare")}
    <select value="" onFocus=${() => setWanted(true)} onPointerDown=${() => setWanted(true)} onChange=${compare}>
      <option value="">${t("choose")}</option>
      ${versions.map((/** @type {string} */ each) => each !== version && html`<option key=${each} value=${each}>${each}</option>`)}
    </select>
  </label>`;
}
