// Two firmwares side by side.

import { html } from "../../vendor/preact.js";
import { get } from "../../core/api.js";
import { bytes, percent } from "../../core/format.js";
import { link } from "../../core/router.js";
import { translator } from "../../core/words.js";
import { Empty, Problem, Screen, Section, Shown, Time } from "../../parts/common.js";
import { useLive, useLoaded } from "../../parts/load.js";
import { Markdown } from "../../parts/markdown.js";
import { RunningOn } from "./detail.js";
import { chipOf, kindOf, signatureOf, word } from "./facts.js";
import { fetchImage } from "./head.js";
import { StatusOf } from "./status.js";
import { apiOf, nameOf, newest, pathOf, useSteps } from "./steps.js";

/** @typedef {import("../../core/types.js").Firmware} Firmware */
/** @typedef {import("./image.js").Image | null | undefined} Image */
/** @typedef {{firmware: Firmware, image: Image}} Side */

const t = translator("firmware/compare");

/** @param {string | undefined} text `<deviceType>/<version>` */
function parse(text) {
  const [deviceType, version] = (text ?? "").split("/", 2);
  return deviceType && version ? { deviceType, version } : null;
}

/** @param {{query: Record<string, string>}} props */
export function Compare({ query }) {
  const [a, b] = [parse(query.a), parse(query.b)];
  const actions = html`<a class="button" href=${link(["firmware"])}>${t("list")}</a>`;
  return html`<${Screen} title=${t("title")} actions=${actions}>
    ${a && b ? html`<${Both} key=${`${nameOf(a)} ${nameOf(b)}`} a=${a} b=${b} />` : html`<${Empty}>${t("choose")}<//>`}
  <//>`;
}

/** @param {{a: {deviceType: string, version: string}, b: {deviceType: string, version: string}}} props */
function Both({ a, b }) {
  useSteps();
  const loaded = useLive(
    (signal) => Promise.all([get(apiOf(a), {}, signal), get(apiOf(b), {}, signal)]),
    [nameOf(a), nameOf(b)],
    { kinds: ["firmware"] },
  );
  return html`<${Shown} of=${loaded}>
    ${(/** @type {Firmware[]} */ [first, second]) => html`<${Sides} a=${newest(first)} b=${newest(second)} />`}
  <//>`;
}

/** @param {{a: Firmware, b: Firmware}} props */
function Sides({ a, b }) {
  const images = useLoaded(
    (signal) => Promise.all([a, b].map((each) => fetchImage(each, signal))),
    [a.sha256, b.sha256],
  );
  const sides = [a, b].map((firmware, at) => ({ firmware, image: images.data?.[at].image }));
  const lines = linesOf(a, b);
  return html`<${Section} title=${t("differences")}>
      <div class="scroll" tabindex="0">
        <table class="compare">
          <thead>
            <tr>
              <th scope="col">${t("what")}</th>
              ${sides.map(
                ({ firmware }) => html`<th scope="col" key=${nameOf(firmware)}><a href=${link(pathOf(firmware))}>${nameOf(firmware)}</a></th>`,
              )}
              <th scope="col">${t("difference")}</th>
            </tr>
          </thead>
          <tbody>
            ${lines.map((line) => html`<${Row} key=${line.name} of=${sides} line=${line} />`)}
            <tr>
              <th scope="row">${word("gateways")}</th>
              ${sides.map(({ firmware }) => html`<td key=${nameOf(firmware)}><${RunningOn} firmware=${firmware} /></td>`)}
              <td></td>
            </tr>
          </tbody>
        </table>
      </div>
      <${Problem} error=${images.error} retry=${images.reload} />
    <//>
    <div class="cards">
      ${sides.map(
        ({ firmware }) => html`<${Section} key=${nameOf(firmware)} title=${t("changelog", { name: nameOf(firmware) })}>
          ${firmware.changelog ? html`<${Markdown} text=${firmware.changelog} />` : html`<${Empty}>${word("no_changelog")}<//>`}
        <//>`,
      )}
    </div>`;
}

/**
 * A line of the table: what is compared, and how it is shown if not as it is.
 *
 * @typedef {{name: string, text: (side: Side) => any, show?: any, mono?: boolean, note?: string | null}} Line
 */

/** @param {Firmware} a @param {Firmware} b @returns {Line[]} */
const linesOf = (a, b) => [
  { name: word("status"), text: ({ firmware }) => firmware.status, show: StatusOf },
  { name: word("size"), text: ({ firmware }) => bytes(firmware.fileSize), note: sizeNote(a, b) },
  { name: "SHA-256", text: ({ firmware }) => firmware.sha256, mono: true },
  { name: "MD5", text: ({ firmware }) => firmware.md5, mono: true },
  { name: word("target"), text: ({ firmware }) => firmware.target },
  { name: word("chip"), text: ({ image }) => image && chipOf(image) },
  { name: word("idf"), text: ({ image }) => image?.descriptor?.idf },
  { name: word("compiled"), text: ({ image }) => image?.descriptor?.compiled },
  { name: word("kind"), text: ({ firmware }) => kindOf(firmware.kind) },
  { name: word("minVersion"), text: ({ firmware }) => firmware.minVersion },
  { name: word("forced"), text: ({ firmware }) => (firmware.forceUpgrade ? word("yes") : t("no")) },
  { name: word("signature"), text: ({ firmware }) => signatureOf(firmware).text },
  { name: word("counter"), text: ({ firmware }) => firmware.releaseCounter },
  { name: word("created"), text: ({ firmware }) => firmware.createdAt, show: Created },
  { name: word("released"), text: ({ firmware }) => firmware.releaseDate, show: Released },
];

/** @param {Firmware} a @param {Firmware} b */
function sizeNote(a, b) {
  const more = b.fileSize - a.fileSize;
  if (more === 0) {
    return null;
  }
  const values = { size: bytes(Math.abs(more)), share: percent(Math.abs(more) / a.fileSize) };
  return more > 0 ? t("larger", values) : t("smaller", values);
}

/** @param {{firmware: Firmware}} props */
const Created = ({ firmware }) => html`<${Time} at=${firmware.createdAt} exact />`;

/** @param {{firmware: Firmware}} props */
const Released = ({ firmware }) => html`<${Time} at=${firmware.releaseDate} exact />`;

/** Left out if neither side has anything to say. @param {{of: Side[], line: Line}} props */
function Row({ of: sides, line: { name, text, show: Show, mono, note } }) {
  const texts = sides.map((side) => text(side) ?? "");
  if (texts.every((each) => each === "")) {
    return null;
  }
  const differ = texts[0] !== texts[1];
  const cell = (/** @type {Side} */ side, /** @type {any} */ said) => {
    if (said === "") {
      return "–";
    }
    return Show ? html`<${Show} firmware=${side.firmware} />` : mono ? html`<code>${said}</code>` : said;
  };
  return html`<tr data-differs=${differ}>
    <th scope="row">${name}</th>
    ${sides.map((side, at) => html`<td key=${at}>${cell(side, texts[at])}</td>`)}
    <td class="quiet">${note ?? (differ ? t("differs") : t("same"))}</td>
  </tr>`;
}
