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

const t = translator("firmware/upload");

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
