// Gateways' own tokens.

import { html, useState } from "../../vendor/preact.js";
import { change, get, segment, sendCsv } from "../../core/api.js";
import { time } from "../../core/format.js";
import { link } from "../../core/router.js";
import { translator } from "../../core/words.js";
import { Time } from "../../parts/common.js";
import { Dialog, FormDialog } from "../../parts/dialog.js";
import { useList } from "../../parts/list.js";
import { NO_EVENTS, useLoaded, useSettled } from "../../parts/load.js";
import { ClosingWarning } from "./closing.js";
import { Credentials, Deed, Made, Revoke, RevokeButton, State, stateOf, useMade, words } from "./credentials.js";

/** @typedef {import("../../core/types.js").GatewayToken} GatewayToken */

const t = translator("access/gateway_tokens");

/** @param {{gatewayId: string, rotates: boolean, onMade: (made: any) => void, onClose: () => void}} props */
function NewToken({ gatewayId, rotates, onMade, onClose }) {
  const [issue, setIssue] = useState(rotates ? "rotation" : "first");
  const submit = async (/** @type {Record<string, string>} */ { gatewayId, graceHours }) => {
    const graceSeconds = issue === "rotation" ? Math.round(Number(graceHours) * 3600) : undefined;
    onMade(await change("POST", `/api/ota/gateways/${segment(gatewayId)}/token`, { issue, graceSeconds }));
  };
  return html`<${FormDialog} title=${t("issue")} action=${t("create")} submit=${submit} onClose=${onClose}>
    <${ClosingWarning} />
    <label>${t("only")}<input name="gatewayId" required defaultValue=${gatewayId} autocomplete="off" /></label>
    <label>${t("which")}
      <select value=${issue} onChange=${(/** @type {any} */ event) => setIssue(event.target.value)}>
        <option value="first">${t("first")}</option>
        <option value="rotation">${t("rotation")}</option>
      </select>
    </label>
    ${issue === "rotation" &&
    html`<label>${t("grace")}<input name="graceHours" type="number" min="0" max="168" step="any" defaultValue="168" required /></label>`}
  <//>`;
}

/** @param {{onMade: (csv: string) => void, onClose: () => void}} props */
function NewTokens({ onMade, onClose }) {
  const submit = async (/** @type {Record<string, any>} */ { file }) => onMade(await sendCsv("/api/ota/gateways/tokens", file));
  return html`<${FormDialog} title=${t("bulk")} action=${t("createAll")} submit=${submit} onClose=${onClose}>
    <${ClosingWarning} />
    <label>${t("file")}<input name="file" type="file" accept=".csv,text/csv" required /></label>
    <p class="help">${t("fileHelp")}</p>
  <//>`;
}

/** @param {{csv: string, onClose: () => void}} props */
function TokensFile({ csv, onClose }) {
  const [address] = useState(() => URL.createObjectURL(new Blob([csv], { type: "text/csv" })));
  const close = () => {
    URL.revokeObjectURL(address);
    onClose();
  };
  const count = csv.trim().split("\n").length - 1;
  return html`<${Dialog} title=${t("allMade", { count })} onClose=${close}>
    <div class="fields">
      <p class="notice">${t("onceFile")}</p>
      <div class="actions">
        <a class="button" href=${address} download="tokens.csv">${t("save")}</a>
        <button type="button" class="primary" onClick=${close}>${t("kept")}</button>
      </div>
    </div>
  <//>`;
}

/** @param {string} only the gateway whose tokens to list; of all if empty */
function useTokens(only) {
  const all = useList("/api/ota/gateways/tokens", {}, NO_EVENTS);
  const one = useLoaded(
    async (signal) => only && get(`/api/ota/gateways/${segment(only)}/tokens`, {}, signal),
    [only],
  );
  return only ? { ...one, more: null } : all;
}

export function GatewayTokens() {
  const [only, setOnly] = useState("");
  const [making, setMaking] = useState(/** @type {{gatewayId: string, rotates: boolean} | null} */ (null));
  const [bulk, setBulk] = useState(false);
  const [revoking, setRevoking] = useState(/** @type {string | null} */ (null));
  const list = useTokens(useSettled(only.trim()));
  const { made, setMade, kept, dialog } = useMade(list);
  const actions = html`<button type="button" onClick=${() => setBulk(true)}>${t("bulk")}</button>
    <button type="button" class="primary" onClick=${() => setMaking({ gatewayId: only.trim(), rotates: false })}>${t("issue")}</button>`;
  const { state, used, expires, made: since } = words();
  const row = (/** @type {GatewayToken} */ token) => ({
    key: token.tokenId,
    name: html`<a href=${link(["gateways", token.gatewayId])}>${token.gatewayId}</a>`,
    cells: [
      html`<${State} of=${token} />`,
      html`<${Time} at=${token.lastUsedAt} />`,
      html`<${Time} at=${token.expiresAt} />`,
      html`<${Made} of=${token} />`,
    ],
    deeds:
      stateOf(token) === "good" &&
      html`<${Deed} words=${t("rotate")} of=${token.gatewayId} onClick=${() => setMaking({ gatewayId: token.gatewayId, rotates: true })} />
        <${RevokeButton} of=${token.gatewayId} onClick=${() => setRevoking(token.gatewayId)} />`,
  });
  return html`<${Credentials} title=${t("title")} what=${t("what")} none=${t("none")} actions=${actions}
    list=${list} head=${[t("gateway"), state, used, expires, since]} row=${row}>
    <div class="row"><label>${t("only")} <input type="search" value=${only} onInput=${(/** @type {any} */ event) => setOnly(event.target.value)} /></label></div>
    ${making && html`<${NewToken} ...${making} onMade=${setMade} onClose=${() => setMaking(null)} />`}
    ${made?.token &&
    dialog(made.gatewayId, t("token"), made.token, made.predecessorEndsAt && html`<p>${t("oldUntil", { at: time(made.predecessorEndsAt) })}</p>`)}
    ${bulk && html`<${NewTokens} onMade=${(/** @type {string} */ csv) => setMade({ csv })} onClose=${() => setBulk(false)} />`}
    ${made?.csv && html`<${TokensFile} csv=${made.csv} onClose=${kept} />`}
    ${revoking &&
    html`<${Revoke} name=${revoking} path=${`/api/ota/gateways/${segment(revoking)}/token`} title=${t("revokeOne", { name: revoking })}
      ends=${t("shutOut")} done=${(/** @type {{revoked: number}} */ { revoked }) => t("revoked", { name: revoking, count: revoked })}
      onRevoked=${list.reload} onClose=${() => setRevoking(null)} />`}
  <//>`;
}
