// A gateway's tokens: for administrators.

import { html, useState } from "../../vendor/preact.js";
import { change, currentSession, get, segment } from "../../core/api.js";
import { translator } from "../../core/words.js";
import { Empty, Section, Shown, Time } from "../../parts/common.js";
import { FormDialog } from "../../parts/dialog.js";
import { useLoaded } from "../../parts/load.js";
import { SecretDialog } from "../../parts/secret.js";

/** @typedef {import("../../core/types.js").GatewayToken} GatewayToken */

const t = translator("gateway/tokens");

/** @param {GatewayToken} token */
const isGood = ({ revokedAt, expiresAt }) => !revokedAt && (!expiresAt || Date.parse(expiresAt) > Date.now());

/** @param {{token: GatewayToken}} props */
function State({ token }) {
  const { revokedAt, expiresAt } = token;
  if (revokedAt) {
    return html`${t("revoked")} <${Time} at=${revokedAt} />`;
  }
  if (!expiresAt) {
    return t("good");
  }
  return html`${isGood(token) ? t("ending") : t("ended")} <${Time} at=${expiresAt} exact />`;
}

/** @param {{tokens: GatewayToken[]}} props */
function Table({ tokens }) {
  return html`<div class="scroll" tabindex="0" role="group" aria-label=${t("title")}><table>
    <thead><tr>
      <th scope="col">${t("state")}</th><th scope="col">${t("made")}</th><th scope="col">${t("by")}</th><th scope="col">${t("used")}</th>
    </tr></thead>
    <tbody>
      ${tokens.toReversed().map(
        (token) => html`<tr key=${token.tokenId}>
          <td><${State} token=${token} /></td><td><${Time} at=${token.createdAt} /></td>
          <td>${token.createdBy}</td><td><${Time} at=${token.lastUsedAt} /></td>
        </tr>`,
      )}
    </tbody>
  </table></div>`;
}

/** @param {{gatewayId: string}} props */
export function Tokens({ gatewayId }) {
  const path = `/api/ota/gateways/${segment(gatewayId)}/token`;
  const loaded = useLoaded((signal) => get(`${path}s`, undefined, signal), [gatewayId]);
  const [asked, ask] = useState(/** @type {"issue" | "revoke" | {secret: string} | null} */ (null));
  /** @type {GatewayToken[]} */
  const tokens = loaded.data ?? [];
  const good = tokens.some(isGood);
  const deed = good ? t("rotate") : t("issue");
  const issue = async () => {
    ask({ secret: (await change("POST", path, { issue: "any" })).token });
    loaded.reload();
  };
  const revoke = async () => {
    await change("DELETE", path);
    loaded.reload();
  };
  const actions = html`<button type="button" onClick=${() => ask("issue")}>${deed}</button>
    ${good && html`<button type="button" class="danger" onClick=${() => ask("revoke")}>${t("revoke")}</button>`}`;
  const close = () => ask(null);
  const closeIssue = () => ask((now) => (now === "issue" ? null : now));
  return html`<${Section} title=${t("title")} actions=${loaded.data && actions} id="tokens">
    <${Shown} of=${loaded}>
      ${() => (tokens.length === 0 ? html`<${Empty}>${t("none")}<//>` : html`<${Table} tokens=${tokens} />`)}
    <//>
    ${asked === "issue" &&
    html`<${FormDialog} title=${deed} action=${deed} danger=${currentSession().open} submit=${issue} onClose=${closeIssue}>
      ${good && html`<p>${t("rotateHelp")}</p>`}
      ${currentSession().open && html`<p class="notice">${t("closes")}</p>`}
    <//>`}
    ${asked === "revoke" &&
    html`<${FormDialog} title=${t("revoke")} action=${t("revoke")} danger submit=${revoke} onClose=${close}>
      <p>${t("revokeHelp", { id: gatewayId })}</p>
    <//>`}
    ${asked !== null && typeof asked === "object" && html`<${SecretDialog} title=${t("title")} name=${gatewayId} secret=${asked.secret} onClose=${close} />`}
  <//>`;
}
