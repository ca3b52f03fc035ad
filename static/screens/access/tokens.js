// Tokens of programs, and of people on the command line.

import { html, useState } from "../../vendor/preact.js";
import { change, segment } from "../../core/api.js";
import { translator } from "../../core/words.js";
import { Status, Time } from "../../parts/common.js";
import { FormDialog } from "../../parts/dialog.js";
import { useList } from "../../parts/list.js";
import { NO_EVENTS } from "../../parts/load.js";
import { EndField, fromLocal } from "../../parts/moment.js";
import { RoleField, roleName } from "../../parts/role.js";
import { ClosingWarning } from "./closing.js";
import { Credentials, Made, Revoke, RevokeButton, useMade, words } from "./credentials.js";

/** @typedef {import("../../core/types.js").Token} Token */

const t = translator("access/tokens");

/** @param {{onMade: (made: any) => void, onClose: () => void}} props */
function NewToken({ onMade, onClose }) {
  const submit = async (/** @type {Record<string, string>} */ { name, role, expiresAt }) =>
    onMade(await change("POST", "/api/ota/tokens", { name, role, expiresAt: fromLocal(expiresAt) }));
  return html`<${FormDialog} title=${t("make")} action=${t("create")} submit=${submit} onClose=${onClose}>
    <${ClosingWarning} />
    <label>${words().name}<input name="name" required maxlength="100" autocomplete="off" /></label>
    <${RoleField} />
    <${EndField} label=${words().expires} />
  <//>`;
}

export function Tokens() {
  const [revokedToo, setRevokedToo] = useState(false);
  const [making, setMaking] = useState(false);
  const [revoking, setRevoking] = useState(/** @type {Token | null} */ (null));
  const list = useList("/api/ota/tokens", { revoked: revokedToo || undefined }, NO_EVENTS);
  const { made, setMade, dialog } = useMade(list);
  const actions = html`<label class="check"><input type="checkbox" checked=${revokedToo} onChange=${() => setRevokedToo(!revokedToo)} /> ${t("revokedToo")}</label>
    <button type="button" class="primary" onClick=${() => setMaking(true)}>${t("make")}</button>`;
  const { name, role, state, used, expires, made: since } = words();
  const row = (/** @type {Token} */ token) => ({
    key: token.tokenId,
    name: token.name,
    cells: [
      roleName(token.role),
      html`<${Status} of=${token.state} />`,
      html`<${Time} at=${token.lastUsedAt} />`,
      html`<${Time} at=${token.expiresAt} />`,
      html`<${Made} of=${token} />`,
    ],
    deeds: token.state === "good" && html`<${RevokeButton} of=${token.name} onClick=${() => setRevoking(token)} />`,
  });
  return html`<${Credentials} title=${t("title")} what=${t("what")} none=${t("none")} actions=${actions}
    list=${list} head=${[name, role, state, used, expires, since]} row=${row}>
    ${making && html`<${NewToken} onMade=${setMade} onClose=${() => setMaking(false)} />`}
    ${made && dialog(made.name, t("token"), made.token)}
    ${revoking &&
    html`<${Revoke} name=${revoking.name} path=${`/api/ota/tokens/${segment(revoking.tokenId)}`} ends=${t("ends")}
      onRevoked=${list.reload} onClose=${() => setRevoking(null)} />`}
  <//>`;
}
