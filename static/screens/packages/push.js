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

const t = translator("packages/push");

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
      <p class="push-drop">${t("drop")}</p>
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
