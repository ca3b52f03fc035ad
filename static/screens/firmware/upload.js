// Files on their way to the server: what they are, their digests, the form, the bar.

import { html, useEffect, useRef, useState } from "../../vendor/preact.js";
import { bytes, number, percent } from "../../core/format.js";
import { link } from "../../core/router.js";
import { translator } from "../../core/words.js";
import { Bar, Problem, Section } from "../../parts/common.js";
import { Markdown } from "../../parts/markdown.js";
import { Facts, KeysProblem, bundleRows, digestRows, imageRows, useSigningKeys, word } from "./facts.js";
import { pathOf } from "./steps.js";
import { add, cancel, fill, isSame, remove, send, useCandidates } from "./uploads.js";

/** @typedef {import("./uploads.js").Candidate} Candidate */
/** @typedef {ReturnType<typeof useSigningKeys>} Keys */

const t = translator({
  title: { en: "Upload", zh: "上传", ru: "Загрузка" },
  drop: {
    en: "Drop a .bin or a signed .jota here, or several.",
    zh: "将 .bin 或已签名的 .jota 文件拖到此处，可一次拖入多个。",
    ru: "Перетащите сюда .bin или подписанный .jota, можно несколько.",
  },
  choose: { en: "Choose files", zh: "选择文件", ru: "Выбрать файлы" },
  reading: { en: "Computing the digests of {name}", zh: "正在计算 {name} 的摘要", ru: "Вычисляются дайджесты {name}" },
  sending: { en: "Uploading {name}", zh: "正在上传 {name}", ru: "Загружается {name}" },
  arriving: { en: "The server stores it…", zh: "服务器正在保存…", ru: "Сервер сохраняет…" },
  image: { en: "Read from the image", zh: "从映像中读取", ru: "Прочитано из образа" },
  manifest: { en: "Read from the manifest", zh: "从清单中读取", ru: "Прочитано из манифеста" },
  digests: { en: "Computed in this browser", zh: "在此浏览器中计算", ru: "Вычислено в этом браузере" },
  changelog: { en: "Changelog (Markdown)", zh: "更新日志（Markdown）", ru: "Список изменений (Markdown)" },
  preview: { en: "Preview of the changelog", zh: "更新日志预览", ru: "Предпросмотр списка изменений" },
  minVersion_help: {
    en: "Gateways below it go through others first. Empty: from any.",
    zh: "低于此版本的网关会先经过其他版本。留空表示不限。",
    ru: "Шлюзы с более старой версией сначала пройдут через другие. Пусто: с любой.",
  },
  force: {
    en: "Forced: gateways install it also where they would refuse",
    zh: "强制：网关即使本会拒绝也要安装",
    ru: "Принудительно: шлюзы ставят её и там, где отказались бы",
  },
  upload: { en: "Upload", zh: "上传", ru: "Загрузить" },
  cancel: { en: "Cancel", zh: "取消", ru: "Отмена" },
  remove: { en: "Remove {name}", zh: "移除 {name}", ru: "Убрать {name}" },
  unreadable: { en: "The file cannot be read: {error}", zh: "无法读取文件：{error}", ru: "Файл не читается: {error}" },
  other_version: {
    en: "The image says {version}: a gateway that reports this is never seen to run {wanted}.",
    zh: "映像中的版本是 {version}：上报此版本的网关不会被视为运行 {wanted}。",
    ru: "В образе указана {version}: шлюз, который её сообщает, не будет считаться перешедшим на {wanted}.",
  },
  signed: {
    en: "signed by the key {name}; the server checks it",
    zh: "由密钥 {name} 签名；服务器会验证",
    ru: "подписан ключом {name}; проверит сервер",
  },
  signed_by_id: {
    en: "signed by {signer}; the server checks it",
    zh: "由 {signer} 签名；服务器会验证",
    ru: "подписан: {signer}; проверит сервер",
  },
  signed_by_stranger: {
    en: "signed by {signer}, no trusted key unless a subkey of one; the server checks it",
    zh: "由 {signer} 签名，它不是受信任的密钥，除非是其子密钥；服务器会验证",
    ru: "подписан: {signer}, это не доверенный ключ, разве что подключ такого; проверит сервер",
  },
  unsigned_state: { en: "not signed", zh: "未签名", ru: "не подписан" },
  required: {
    en: "This server takes signed bundles (.jota) alone.",
    zh: "此服务器只接受已签名的包（.jota）。",
    ru: "Этот сервер принимает только подписанные файлы .jota.",
  },
  empty: { en: "The file is empty.", zh: "文件为空。", ru: "Файл пуст." },
  none: {
    en: "This is no application image of ESP-IDF. Only gateways that take any bytes can run it.",
    zh: "这不是 ESP-IDF 应用映像。只有接受任意字节的网关才能运行它。",
    ru: "Это не образ приложения ESP-IDF. Его запустят только шлюзы, которые берут любые байты.",
  },
  merged: {
    en: "This is a merged image (bootloader, partition table and application in one file), for flashing by cable. Take the application alone, which the build writes beside it.",
    zh: "这是合并映像（引导程序、分区表和应用在同一文件中），用于线缆烧录。请改用构建时一并生成的单独应用映像。",
    ru: "Это объединённый образ (загрузчик, таблица разделов и приложение в одном файле) для прошивки по кабелю. Возьмите одно приложение: сборка кладёт его рядом.",
  },
  segments: { en: "The image is damaged: its segments make no sense.", zh: "映像已损坏：段信息无效。", ru: "Образ повреждён: его сегменты бессмысленны." },
  checksum: { en: "The image is damaged: its checksum does not fit.", zh: "映像已损坏：校验和不符。", ru: "Образ повреждён: контрольная сумма не сходится." },
  no_hash: {
    en: "The image was built without SHA-256 at its end; gateways refuse it.",
    zh: "映像末尾没有 SHA-256；网关会拒绝它。",
    ru: "В конце образа нет SHA-256; шлюзы его не примут.",
  },
  hash: { en: "The image is damaged: its SHA-256 does not fit.", zh: "映像已损坏：SHA-256 不符。", ru: "Образ повреждён: SHA-256 не сходится." },
  truncated: { en: "The file is cut off: its end is missing.", zh: "文件被截断：缺少末尾部分。", ru: "Файл обрезан: нет конца." },
  no_descriptor: {
    en: "The image has no app descriptor: a bootloader, or built with an SDK that is too old.",
    zh: "映像没有应用描述符：可能是引导程序，或使用过旧的 SDK 构建。",
    ru: "В образе нет дескриптора приложения: это загрузчик или сборка слишком старым SDK.",
  },
  bundle: {
    en: "This begins like a bundle, and cannot be read as one. The server would refuse it and say why.",
    zh: "文件开头像一个包，但无法读取。服务器会拒绝并说明原因。",
    ru: "Начинается как пакет .jota, но не читается. Сервер откажет и скажет почему.",
  },
  part_differs: {
    en: "A part is not what the manifest says. The server would refuse it.",
    zh: "某个部分与清单不符。服务器会拒绝。",
    ru: "Часть не совпадает с манифестом. Сервер откажет.",
  },
  unsigned: {
    en: "The bundle is not signed. The server would refuse it.",
    zh: "包未签名。服务器会拒绝。",
    ru: "Пакет .jota не подписан. Сервер откажет.",
  },
  same: {
    en: "Uploaded as a draft. The server's digests are those computed here.",
    zh: "已作为草稿上传。服务器的摘要与此处计算的一致。",
    ru: "Загружено как черновик. Дайджесты сервера совпали с вычисленными здесь.",
  },
  differs: {
    en: "The server's digests are not those computed here: delete the draft and upload it again.",
    zh: "服务器的摘要与此处计算的不一致：请删除草稿并重新上传。",
    ru: "Дайджесты сервера не совпали с вычисленными здесь: удалите черновик и загрузите снова.",
  },
  show: { en: "Show {name}", zh: "查看 {name}", ru: "Показать {name}" },
});

/**
 * Takes files that are dropped anywhere on the screen, and from a button.
 *
 * @param {{deviceTypes: string[]}} props that are known
 */
export function Upload({ deviceTypes }) {
  const candidates = useCandidates();
  const keys = useSigningKeys();
  const over = useDrop((files) => add(files, deviceTypes));
  const input = useRef(/** @type {HTMLInputElement | null} */ (null));
  const chosen = (/** @type {Event} */ event) => {
    const { files } = /** @type {HTMLInputElement} */ (event.currentTarget);
    add(files ?? [], deviceTypes);
    /** @type {HTMLInputElement} */ (event.currentTarget).value = "";
  };
  return html`<${Section} title=${t("title")}>
    <div class="drop" data-over=${over}>
      <p>${t("drop")}</p>
      <button type="button" onClick=${() => input.current?.click()}>${t("choose")}</button>
      <input ref=${input} type="file" accept=".bin,.jota" multiple hidden aria-label=${t("choose")} onChange=${chosen} />
    </div>
    <${KeysProblem} of=${keys} />
    ${candidates.map((each) => html`<${CandidateCard} key=${each.id} candidate=${each} keys=${keys} />`)}
  <//>`;
}

/**
 * Whether files are being dragged over the window; `onFiles` gets them.
 *
 * @param {(files: FileList) => void} onFiles
 */
function useDrop(onFiles) {
  const [over, setOver] = useState(false);
  const latest = useRef(onFiles);
  latest.current = onFiles;
  useEffect(() => {
    const has = (/** @type {DragEvent} */ event) => event.dataTransfer?.types.includes("Files");
    const drag = (/** @type {DragEvent} */ event) => {
      if (has(event)) {
        event.preventDefault();
        setOver(true);
      }
    };
    const leave = (/** @type {DragEvent} */ event) => event.relatedTarget === null && setOver(false);
    const drop = (/** @type {DragEvent} */ event) => {
      if (has(event) && event.dataTransfer) {
        event.preventDefault();
        setOver(false);
        latest.current(event.dataTransfer.files);
      }
    };
    addEventListener("dragover", drag);
    addEventListener("dragleave", leave);
    addEventListener("drop", drop);
    return () => {
      removeEventListener("dragover", drag);
      removeEventListener("dragleave", leave);
      removeEventListener("drop", drop);
    };
  }, []);
  return over;
}

/** @param {{candidate: Candidate, keys: Keys}} props */
function CandidateCard({ candidate, keys }) {
  const { id, file, state, found } = candidate;
  return html`<article class="candidate" aria-label=${file.name}>
    <header class="card-head">
      <h3>${file.name} <span class="quiet">${bytes(file.size)}</span></h3>
      ${state !== "sending" &&
      html`<button type="button" class="quiet" aria-label=${t("remove", { name: file.name })} onClick=${() => remove(id)}>×</button>`}
    </header>
    ${found.unreadable && html`<p class="problem" role="alert">${t("unreadable", { error: found.unreadable })}</p>`}
    ${state === "reading" && !found.unreadable && html`<${Progress} done=${found.read ?? 0} of=${file} label=${t("reading", { name: file.name })} />`}
    <${About} candidate=${candidate} keys=${keys} />
    <${Warnings} candidate=${candidate} required=${keys.data?.required ?? false} />
    ${state === "done" ? html`<${Outcome} candidate=${candidate} />` : html`<${Form} candidate=${candidate} />`}
  </article>`;
}

/** @param {{done: number, of: File, label: string}} props */
function Progress({ done, of: file, label }) {
  return html`<div class="transfer">
    <p>${label} <span class="quiet">${percent(file.size > 0 ? done / file.size : 0)}</span></p>
    <${Bar} value=${done} max=${file.size || 1} label=${label} />
  </div>`;
}

/** @param {{candidate: Candidate, keys: Keys}} props */
function About({ candidate: { file, found }, keys }) {
  const { image, bundle, isBundle } = found;
  const manifest = bundle?.manifest;
  /** @type {[string, any][]} */
  const manifestRows = manifest ? bundleRows({ ...manifest, builtAt: manifest.createdAt }) : [];
  return html`<div class="about">
    ${image && html`<section><h4>${t("image")}</h4><${Facts} label=${t("image")} rows=${imageRows(image)} /></section>`}
    ${isBundle &&
    bundle &&
    html`<section>
      <h4>${t("manifest")}</h4>
      <${Facts}
        label=${t("manifest")}
        rows=${[
          [word("version"), bundle.manifest.version],
          [word("deviceType"), bundle.manifest.deviceType],
          ...manifestRows,
          [word("signature"), signatureText(bundle.signers, keys)],
          ...bundle.manifest.parts.map((part) => [part.name, bytes(part.size)]),
        ]}
      />
    </section>`}
    ${found.sha256 &&
    found.md5 &&
    html`<section>
      <h4>${t("digests")}</h4>
      <${Facts}
        label=${t("digests")}
        rows=${[
          [word("size"), `${bytes(file.size)} (${number(file.size)} B)`],
          ...digestRows({ sha256: found.sha256, md5: found.md5 }),
        ]}
      />
    </section>`}
  </div>`;
}

/**
 * @param {string[]} signers fingerprints or key ids
 * @param {Keys} keys
 */
function signatureText(signers, keys) {
  const [first] = signers;
  if (!first) {
    return t("unsigned_state");
  }
  const trusted = keys.data?.items ?? [];
  const key = trusted.find(({ fingerprint }) => signers.some((signer) => fingerprint.toUpperCase().endsWith(signer)));
  if (key) {
    return t("signed", { name: key.name });
  }
  return t(keys.data?.required ? "signed_by_stranger" : "signed_by_id", { signer: first });
}

/** @param {{candidate: Candidate, required: boolean}} props */
function Warnings({ candidate: { found, fields }, required }) {
  const version = found.image?.descriptor?.version;
  const warnings = [
    found.fault && t(/** @type {any} */ (found.fault)),
    required && found.isBundle === false && t("required"),
    version && fields.version && version !== fields.version && t("other_version", { version, wanted: fields.version }),
  ].filter(Boolean);
  return warnings.map((text) => html`<p class="notice" role="status">${text}</p>`);
}

/** @param {{candidate: Candidate}} props */
function Form({ candidate }) {
  const { id, file, fields, found, state, sent, error } = candidate;
  if (found.isBundle === undefined) {
    return null;
  }
  const busy = state === "sending";
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    void send(candidate);
  };
  return html`<form class="fields" onSubmit=${submit}>
    <fieldset class="upload-fields" disabled=${busy}>
      <${TextField} of=${candidate} name="version" required locked=${found.isBundle} />
      <${TextField} of=${candidate} name="deviceType" required locked=${found.isBundle} list="device-types" />
      <${TextField} of=${candidate} name="minVersion" locked=${found.isBundle} help=${t("minVersion_help")} />
      <${TextField} of=${candidate} name="description" wide />
      <label class="wide">${t("changelog")}
        <textarea
          rows="5"
          maxlength="65536"
          readonly=${found.isBundle}
          value=${fields.changelog}
          onInput=${(/** @type {any} */ event) => fill(candidate, { changelog: event.target.value })}
        ></textarea>
      </label>
      ${fields.changelog &&
      html`<details class="wide"><summary>${t("preview")}</summary><${Markdown} text=${fields.changelog} /></details>`}
      <label class="check wide">
        <input
          type="checkbox"
          checked=${fields.forceUpgrade}
          onChange=${(/** @type {any} */ event) => fill(candidate, { forceUpgrade: event.target.checked })}
        /> ${t("force")}
      </label>
    </fieldset>
    <${Problem} error=${error} />
    ${busy && html`<${Progress} done=${sent} of=${file} label=${sent < file.size ? t("sending", { name: file.name }) : t("arriving")} />`}
    <div class="actions">
      ${busy
        ? html`<button key="cancel" type="button" onClick=${() => cancel(id)}>${t("cancel")}</button>`
        : html`<button key="upload" class="primary" disabled=${state !== "ready"}>${t("upload")}</button>`}
    </div>
  </form>`;
}

/**
 * @param {{of: Candidate, name: "version" | "deviceType" | "minVersion" | "description", required?: boolean, locked?: boolean, wide?: boolean, help?: string, list?: string}} props
 */
function TextField({ of: candidate, name, required, locked, wide, help, list }) {
  return html`<label class=${wide ? "wide" : undefined}>${word(name)}
    <input
      name=${name}
      value=${candidate.fields[name]}
      required=${required && !locked}
      disabled=${locked}
      list=${list}
      autocomplete="off"
      onInput=${(/** @type {any} */ event) => fill(candidate, { [name]: event.target.value })}
    />
    ${help && html`<span class="help">${help}</span>`}
  </label>`;
}

/** @param {{candidate: Candidate}} props */
function Outcome({ candidate }) {
  const { firmware } = candidate;
  if (!firmware) {
    return null;
  }
  const same = isSame(candidate);
  const name = `${firmware.deviceType} ${firmware.version}`;
  return html`<div class="outcome">
    <p class=${same ? "good" : "problem"} role="status">${same ? `✓ ${t("same")}` : t("differs")}</p>
    <a class="button" href=${link(pathOf(firmware))}>${t("show", { name })}</a>
  </div>`;
}
