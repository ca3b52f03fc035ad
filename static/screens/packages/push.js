// Pushes a version: a file, its content.json, and a signature if there is one.

import { html, useState } from "../../vendor/preact.js";
import { upload } from "../../core/api.js";
import { bytes } from "../../core/format.js";
import { go } from "../../core/router.js";
import { translator } from "../../core/words.js";
import { Bar, Problem } from "../../parts/common.js";
import { Dialog } from "../../parts/dialog.js";
import { say } from "../../parts/toast.js";
import { sha256 } from "../../vendor/hashes.js";

const t = translator({
  title: { en: "Push a version of a package", zh: "推送软件包版本", ru: "Загрузить версию пакета" },
  file: { en: "File: an archive, or any other", zh: "文件：归档或任意文件", ru: "Файл: архив или любой другой" },
  drop: { en: "Drop the file, its content.json and its signature (.asc) here, or choose them.", zh: "将文件、content.json 和签名（.asc）拖到此处，或逐个选择。", ru: "Перетащите сюда файл, его content.json и подпись (.asc) или выберите их." },
  chosen: { en: "{name}, {size}", zh: "{name}，{size}", ru: "{name}, {size}" },
  content: { en: "content.json", zh: "content.json", ru: "content.json" },
  contentHelp: {
    en: "Kept byte for byte. Its sha256 is filled in from the file, unless it says one.",
    zh: "按字节原样保存。未填写 sha256 时由文件计算填入。",
    ru: "Хранится байт в байт. Если sha256 не указан, он вычисляется по файлу.",
  },
  signature: { en: "Signature of content.json (.asc), if it is signed", zh: "content.json 的签名（.asc），如有", ru: "Подпись content.json (.asc), если есть" },
  differs: {
    en: "content.json names another sha256 than the file's, {sha256}.",
    zh: "content.json 中的 sha256 与文件的不同：{sha256}。",
    ru: "В content.json указан другой sha256, у файла {sha256}.",
  },
  sending: { en: "Sending", zh: "正在发送", ru: "Отправка" },
  push: { en: "Push", zh: "推送", ru: "Загрузить" },
  cancel: { en: "Cancel", zh: "取消", ru: "Отмена" },
  pushed: { en: "{name} {version} is pushed.", zh: "{name} {version} 已推送。", ru: "{name} {version} загружена." },
});

const EXAMPLE = `{
  "package": "app",
  "version": "1.0.0",
  "branch": "main",
  "description": "",
  "local": "/opt/app",
  "BeforeUpdate": "",
  "AfterUpdate": "",
  "dependencies": {}
}
`;

/** @param {File} file */
async function digest(file) {
  const hash = sha256.create();
  const reader = file.stream().getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    hash.update(part.value);
  }
  return Array.from(hash.digest(), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** @param {string} text @returns {Record<string, any> | null} what it says; null if it is no object */
function parsed(text) {
  try {
    const said = JSON.parse(text);
    return said && typeof said === "object" && !Array.isArray(said) ? said : null;
  } catch {
    return null;
  }
}

/** What is wrong is the server's to say. @param {string} text @param {string} hex */
function withDigest(text, hex) {
  const said = parsed(text);
  return said && !said.sha256 ? `${JSON.stringify({ ...said, sha256: hex }, null, 2)}\n` : text;
}

/** @param {{onClose: () => void}} props */
export function Push({ onClose }) {
  const [file, setFile] = useState(/** @type {File | null} */ (null));
  const [digests, setDigests] = useState(/** @type {Map<File, string>} */ (new Map()));
  const [content, setContent] = useState(EXAMPLE);
  const [signature, setSignature] = useState(/** @type {File | null} */ (null));
  const [sent, setSent] = useState(/** @type {number | null} */ (null));
  const [error, setError] = useState(/** @type {Error | null} */ (null));

  const hex = (file && digests.get(file)) ?? "";

  const take = async (/** @type {Iterable<File>} */ files) => {
    for (const each of files) {
      if (each.name.endsWith(".json")) {
        setContent(await each.text());
      } else if (each.name.endsWith(".asc")) {
        setSignature(each);
      } else {
        setFile(each);
        const hex = await digest(each);
        setDigests((before) => new Map(before).set(each, hex));
      }
    }
  };
  const onDrop = (/** @type {DragEvent} */ event) => {
    event.preventDefault();
    void take(event.dataTransfer?.files ?? []);
  };
  const submit = async (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    const whole = withDigest(content, hex);
    const form = new FormData();
    form.append("content", new Blob([whole]), "content.json");
    if (signature) {
      form.append("signature", signature);
    }
    form.append("file", /** @type {File} */ (file));
    setError(null);
    setSent(0);
    try {
      await upload("/update", form, { method: "PUT", onProgress: (now, total) => setSent((100 * now) / total) });
      const { package: name = "", version = "", branch } = parsed(whole) ?? {};
      say(t("pushed", { name, version }));
      onClose();
      go(["packages", name], { branch, version });
    } catch (failure) {
      setError(/** @type {Error} */ (failure));
      setSent(null);
    }
  };
  const named = parsed(content)?.sha256;
  const differs = hex && named && String(named).toLowerCase() !== hex;
  return html`<${Dialog} title=${t("title")} onClose=${onClose}>
    <form class="fields push" onSubmit=${submit} onDragOver=${(/** @type {Event} */ event) => event.preventDefault()} onDrop=${onDrop}>
      <p class="drop">${t("drop")}</p>
      <label>${t("file")}
        <input type="file" onChange=${(/** @type {any} */ event) => take(event.target.files)} required=${!file} />
        ${file && html`<span class="help">${t("chosen", { name: file.name, size: bytes(file.size) })}${hex && html` · SHA-256 <code>${hex}</code>`}</span>`}</label>
      <label>${t("content")}
        <textarea class="mono" rows="12" spellcheck="false" required value=${content}
          onInput=${(/** @type {any} */ event) => setContent(event.target.value)}></textarea>
        <span class="help">${t("contentHelp")}</span></label>
      ${differs && html`<p class="notice">${t("differs", { sha256: hex })}</p>`}
      <label>${t("signature")}
        <input type="file" accept=".asc,.sig" onChange=${(/** @type {any} */ event) => setSignature(event.target.files[0] ?? null)} />
        ${signature && html`<span class="help">${signature.name}</span>`}</label>
      ${sent !== null && html`<${Bar} value=${sent} label=${t("sending")} />`}
      <${Problem} error=${error} />
      <div class="actions">
        <button type="button" onClick=${onClose}>${t("cancel")}</button>
        <button class="primary" disabled=${!hex || differs || sent !== null}>${t("push")}</button>
      </div>
    </form>
  <//>`;
}
