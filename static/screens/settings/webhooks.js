// Who is told of events.

import { html, useState } from "../../vendor/preact.js";
import { change } from "../../core/api.js";
import { link } from "../../core/router.js";
import { translator } from "../../core/words.js";
import { Empty, Section, Shown, Time } from "../../parts/common.js";
import { FormDialog } from "../../parts/dialog.js";
import { More, useList } from "../../parts/list.js";
import { NO_EVENTS } from "../../parts/load.js";
import { SecretDialog } from "../../parts/secret.js";

/** @typedef {import("../../core/types.js").Webhook} Webhook */
/** @typedef {import("../../core/types.js").EventKind} EventKind */

const t = translator("settings/webhooks");

/** @type {EventKind[]} */
const KINDS = ["task", "task_progress", "rollout", "gateway", "firmware", "package"];

/** @param {{onMade: (made: any) => void, onClose: () => void}} props */
function NewWebhook({ onMade, onClose }) {
  const [kinds, setKinds] = useState(/** @type {EventKind[]} */ (["task", "rollout"]));
  const toggle = (/** @type {EventKind} */ kind) =>
    setKinds(KINDS.filter((each) => (each === kind) !== kinds.includes(each)));
  const submit = async (/** @type {Record<string, string>} */ { url, gatewayId, rolloutId, secret }) =>
    onMade(
      await change("POST", "/api/ota/webhooks", {
        url,
        kinds,
        gatewayId: gatewayId || undefined,
        rolloutId: rolloutId || undefined,
        secret: secret || undefined,
      }),
    );
  return html`<${FormDialog} title=${t("make")} action=${t("create")} submit=${submit} onClose=${onClose}>
    <label>${t("url")}<input name="url" type="url" required maxlength="2048" placeholder="https://" /></label>
    <fieldset><legend>${t("kinds")}</legend>
      ${KINDS.map(
        (kind) => html`<label key=${kind} class="check"><input type="checkbox" checked=${kinds.includes(kind)} onChange=${() => toggle(kind)} /> <code>${kind}</code></label>`,
      )}
    </fieldset>
    <label>${t("gatewayId")}<input name="gatewayId" autocomplete="off" /></label>
    <label>${t("rolloutId")}<input name="rolloutId" autocomplete="off" /></label>
    <label>${t("ownSecret")}<input name="secret" minlength="16" maxlength="256" autocomplete="off" /></label>
  <//>`;
}

/** @param {{webhooks: Webhook[]}} props */
const Table = ({ webhooks }) => html`<div class="scroll"><table>
  <thead><tr><th scope="col">${t("url")}</th><th scope="col">${t("kinds")}</th><th scope="col">${t("made")}</th></tr></thead>
  <tbody>${webhooks.map(
    (webhook) => html`<tr key=${webhook.webhookId}>
      <th scope="row"><a href=${link(["settings", "webhooks", webhook.webhookId])}>${webhook.url}</a></th>
      <td><code>${webhook.kinds.join(", ")}</code></td>
      <td><${Time} at=${webhook.createdAt} /></td>
    </tr>`,
  )}</tbody>
</table></div>`;

export function Webhooks() {
  const [making, setMaking] = useState(false);
  const [made, setMade] = useState(/** @type {any} */ (null));
  const list = useList("/api/ota/webhooks", {}, NO_EVENTS);
  const kept = () => {
    setMade(null);
    list.reload();
  };
  const actions = html`<button type="button" class="primary" onClick=${() => setMaking(true)}>${t("make")}</button>`;
  return html`<${Section} title=${t("title")} actions=${actions}>
    <p class="quiet">${t("what")}</p>
    <${Shown} of=${list}>${(/** @type {Webhook[]} */ webhooks) =>
      webhooks.length > 0 ? html`<${Table} webhooks=${webhooks} />` : html`<${Empty}>${t("none")}<//>`}<//>
    <${More} list=${list} />
    ${making && html`<${NewWebhook} onMade=${setMade} onClose=${() => setMaking(false)} />`}
    ${made && html`<${SecretDialog} title=${made.url} name=${t("secret")} secret=${made.secret} once=${t("once")} onClose=${kept} />`}
  <//>`;
}
