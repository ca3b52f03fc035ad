// Keys by which a batch of new gateways claims tokens.

import { html, useState } from "../../vendor/preact.js";
import { change, currentSession, segment } from "../../core/api.js";
import { number } from "../../core/format.js";
import { translator } from "../../core/words.js";
import { Bar, Time } from "../../parts/common.js";
import { FormDialog } from "../../parts/dialog.js";
import { useList } from "../../parts/list.js";
import { NO_EVENTS } from "../../parts/load.js";
import { EndField, fromLocal } from "../../parts/moment.js";
import { ClosingWarning } from "./closing.js";
import { Credentials, Made, Revoke, RevokeButton, State, useMade, words } from "./credentials.js";

/** @typedef {import("../../core/types.js").ProvisioningKey} Key */

const t = translator("access/provisioning");

/** @param {{onMade: (made: any) => void, onClose: () => void}} props */
function NewKey({ onMade, onClose }) {
  const submit = async (/** @type {Record<string, string>} */ { name, claimsMax, deviceType, expiresAt }) =>
    onMade(
      await change("POST", "/api/ota/provisioning-keys", {
        name,
        claimsMax: claimsMax ? Number(claimsMax) : undefined,
        deviceType: deviceType || undefined,
        expiresAt: fromLocal(expiresAt),
      }),
    );
  return html`<${FormDialog} title=${t("make")} action=${t("create")} submit=${submit} onClose=${onClose}>
    <${ClosingWarning} />
    <label>${words().name}<input name="name" required maxlength="100" autocomplete="off" /></label>
    <label>${t("claimsMax")}<input name="claimsMax" type="number" min="1" max="1000000000" /></label>
    <label>${t("onlyType")}<input name="deviceType" autocomplete="off" /></label>
    <${EndField} label=${words().expires} />
  <//>`;
}

/** @param {{of: Key}} props */
const Claims = ({ of: { name, claims, claimsMax } }) =>
  claimsMax
    ? html`${t("ofMax", { claims, max: claimsMax })}
        <${Bar} value=${claims} max=${claimsMax} label=${`${t("claims")}: ${name}`} />`
    : number(claims);

export function ProvisioningKeys() {
  const [making, setMaking] = useState(false);
  const [revoking, setRevoking] = useState(/** @type {Key | null} */ (null));
  // Who has claimed is heard of; on an open server nothing may load while a secret is shown that a login would lose.
  const list = useList("/api/ota/provisioning-keys", {}, currentSession().open ? NO_EVENTS : { kinds: ["gateway"] });
  const { made, setMade, dialog } = useMade(list);
  const actions = html`<button type="button" class="primary" onClick=${() => setMaking(true)}>${t("make")}</button>`;
  const { name, state, expires, made: since } = words();
  const row = (/** @type {Key} */ key) => ({
    key: key.keyId,
    name: key.name,
    cells: [
      html`<${State} of=${key} usedUp=${key.claims >= (key.claimsMax ?? Infinity)} />`,
      html`<${Claims} of=${key} />`,
      key.deviceType ?? t("any"),
      html`<${Time} at=${key.expiresAt} />`,
      html`<${Made} of=${key} />`,
    ],
    deeds: !key.revokedAt && html`<${RevokeButton} of=${key.name} onClick=${() => setRevoking(key)} />`,
  });
  return html`<${Credentials} title=${t("title")} what=${t("what")} none=${t("none")} actions=${actions}
    list=${list} head=${[name, state, t("claims"), t("deviceType"), expires, since]} row=${row}>
    ${making && html`<${NewKey} onMade=${setMade} onClose=${() => setMaking(false)} />`}
    ${made && dialog(made.name, t("key"), made.key)}
    ${revoking &&
    html`<${Revoke} name=${revoking.name} path=${`/api/ota/provisioning-keys/${segment(revoking.keyId)}`} ends=${t("ends")}
      onRevoked=${list.reload} onClose=${() => setRevoking(null)} />`}
  <//>`;
}
