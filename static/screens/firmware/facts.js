// What is known of an image, a bundle, a signature; shown alike before the upload and after it.

import { html } from "../../vendor/preact.js";
import { get } from "../../core/api.js";
import { translator } from "../../core/words.js";
import { Copy, Problem, Time } from "../../parts/common.js";
import { useLoaded } from "../../parts/load.js";

/** @typedef {import("../../core/types.js").Firmware} Firmware */
/** @typedef {{name: string, fingerprint: string}} Key */
/** @typedef {{required: boolean, items: Key[]}} SigningKeys */

const t = translator({
  status: { en: "Status", zh: "状态", ru: "Состояние" },
  version: { en: "Version", zh: "版本", ru: "Версия" },
  deviceType: { en: "Device type", zh: "设备类型", ru: "Тип устройства" },
  size: { en: "Size", zh: "大小", ru: "Размер" },
  signature: { en: "Signature", zh: "签名", ru: "Подпись" },
  description: { en: "Description", zh: "描述", ru: "Описание" },
  minVersion: { en: "Lowest version to come from", zh: "可升级的最低版本", ru: "Наименьшая исходная версия" },
  created: { en: "Uploaded", zh: "上传时间", ru: "Загружена" },
  released: { en: "Released", zh: "发布时间", ru: "Выпущена" },
  gateways: { en: "Gateways that run it", zh: "正在运行的网关", ru: "Шлюзы, где она работает" },
  forced: { en: "Forced", zh: "强制", ru: "Принудительно" },
  yes: { en: "yes", zh: "是", ru: "да" },
  no_changelog: { en: "None was written.", zh: "未填写。", ru: "Не написан." },
  chip: { en: "Chip", zh: "芯片", ru: "Чип" },
  chip_id: { en: "unknown chip (id {id})", zh: "未知芯片（编号 {id}）", ru: "неизвестный чип (номер {id})" },
  revision: { en: "Chip revision", zh: "芯片修订版", ru: "Ревизия чипа" },
  at_least: { en: "{revision} or later", zh: "{revision} 或更高", ru: "{revision} или новее" },
  project: { en: "Project", zh: "项目", ru: "Проект" },
  image_version: { en: "Version in the image", zh: "映像中的版本", ru: "Версия в образе" },
  idf: { en: "ESP-IDF", zh: "ESP-IDF", ru: "ESP-IDF" },
  compiled: { en: "Compiled", zh: "编译时间", ru: "Собран" },
  secure: { en: "Secure version", zh: "安全版本", ru: "Версия безопасности" },
  signed: { en: "signed by {name}", zh: "由 {name} 签名", ru: "подписана ключом {name}" },
  unchecked: {
    en: "signed, but no key was trusted when it came",
    zh: "已签名，但上传时没有受信任的密钥",
    ru: "подписана, но при загрузке не было доверенных ключей",
  },
  unsigned: { en: "not signed", zh: "未签名", ru: "не подписана" },
  sha256: { en: "SHA-256", zh: "SHA-256", ru: "SHA-256" },
  md5: { en: "MD5", zh: "MD5", ru: "MD5" },
  target: { en: "Target", zh: "目标板", ru: "Плата" },
  kind: { en: "Kind", zh: "类型", ru: "Вид" },
  counter: { en: "Release counter", zh: "发布计数", ru: "Счётчик выпусков" },
  back: {
    en: "{counter}; devices that run a later one take it, too",
    zh: "{counter}；运行更新版本的设备也会接受",
    ru: "{counter}; её примут и устройства с более поздним выпуском",
  },
  built: { en: "Built", zh: "构建时间", ru: "Собран" },
  expires: { en: "Expires", zh: "到期", ru: "Действует до" },
  package: { en: "package", zh: "软件包", ru: "пакет" },
  firmware: { en: "firmware", zh: "固件", ru: "прошивка" },
  web: { en: "web pages", zh: "网页", ru: "веб-страницы" },
  both: { en: "firmware and web pages", zh: "固件和网页", ru: "прошивка и веб-страницы" },
});

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
