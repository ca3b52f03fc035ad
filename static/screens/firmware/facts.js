// What is known of an image, a bundle, a signature; shown alike before the upload and after it.

import { html } from "../../vendor/preact.js";
import { get } from "../../core/api.js";
import { translator } from "../../core/words.js";
import { Copy, Problem, Time } from "../../parts/common.js";
import { useLoaded } from "../../parts/load.js";

/** @typedef {import("../../core/types.js").Firmware} Firmware */
/** @typedef {{name: string, fingerprint: string}} Key */
/** @typedef {{required: boolean, items: Key[]}} SigningKeys */

const t = translator("firmware/facts");

/** What the facts are called, for all screens of firmware. @param {Parameters<typeof t>[0]} key */
export const word = (key) => t(/** @type {any} */ (key));

const NOTHING = [null, undefined, false, ""];

/**
 * A list of names and values; what has no value is left out.
 *
 * @param {{rows: [string, any][], label?: string}} props
 */
export const Facts = ({ rows, label }) =>
  html`<dl class="facts" aria-label=${label}>
    ${rows.map(([name, value]) => !NOTHING.includes(value) && html`<dt>${name}</dt><dd>${value}</dd>`)}
  </dl>`;

/** @param {import("./image.js").Image} image */
export const chipOf = ({ chip, chipId }) => chip ?? t("chip_id", { id: chipId });

/** @param {import("./image.js").Image | null | undefined} image @returns {[string, any][]} */
export function imageRows(image) {
  if (!image) {
    return [];
  }
  const { minRevision, descriptor } = image;
  return [
    [t("chip"), chipOf(image)],
    [t("revision"), minRevision && t("at_least", { revision: minRevision })],
    [t("project"), descriptor?.project],
    [t("image_version"), descriptor?.version],
    [t("idf"), descriptor?.idf],
    [t("compiled"), descriptor?.compiled],
    [t("secure"), descriptor && String(descriptor.secureVersion)],
  ];
}

/** @param {string | null | undefined} kind */
export function kindOf(kind) {
  switch (kind) {
    case "firmware":
    case "web":
    case "package":
      return t(kind);
    case "firmware+web":
      return t("both");
    default:
      return kind ?? null;
  }
}

/**
 * What a manifest says, before the upload and after it.
 *
 * @param {{target?: string | null, kind?: string | null, releaseCounter?: number | null, allowRollback?: boolean | null, builtAt?: string | null, expiresAt?: string | null}} bundle
 * @returns {[string, any][]}
 */
export function bundleRows({ target, kind, releaseCounter, allowRollback, builtAt, expiresAt }) {
  const counter = releaseCounter ? String(releaseCounter) : null;
  return [
    [t("target"), target],
    [t("kind"), kindOf(kind)],
    [t("counter"), counter && (allowRollback ? t("back", { counter }) : counter)],
    [t("built"), builtAt && html`<${Time} at=${builtAt} exact />`],
    [t("expires"), expiresAt && html`<${Time} at=${expiresAt} exact />`],
  ];
}

/** @param {{sha256: string, md5: string}} digests @returns {[string, any][]} */
export function digestRows({ sha256, md5 }) {
  return [
    [t("sha256"), html`<${Digest} name=${t("sha256")} hex=${sha256} />`],
    [t("md5"), html`<${Digest} name=${t("md5")} hex=${md5} />`],
  ];
}

/** @param {{name: string, hex: string}} props */
const Digest = ({ name, hex }) => html`<code>${hex}</code> <${Copy} text=${hex} label=${name} />`;

/**
 * Who signed what the server has: `signedBy` is there if something is signed at all.
 *
 * @param {Firmware} firmware
 */
export function signatureOf({ signedBy }) {
  if (signedBy) {
    return { state: "signed", text: t("signed", { name: signedBy.name }) };
  }
  return signedBy === null ? { state: "unchecked", text: t("unchecked") } : { state: "unsigned", text: t("unsigned") };
}

/** @param {{of: Firmware}} props */
export function Signature({ of: firmware }) {
  const { state, text } = signatureOf(firmware);
  return html`<span class="signature" data-state=${state} title=${firmware.signedBy?.fingerprint}>${text}</span>`;
}

/** The keys that the server trusts. */
export const useSigningKeys = () =>
  useLoaded(async (signal) => /** @type {SigningKeys} */ (await get("/api/ota/signing-keys", {}, signal)), []);

/** @param {{of: ReturnType<typeof useSigningKeys>}} props */
export const KeysProblem = ({ of: keys }) => html`<${Problem} error=${keys.error} retry=${keys.reload} />`;
