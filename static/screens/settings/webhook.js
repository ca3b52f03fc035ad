// One webhook and its deliveries.

import { html, useEffect, useState } from "../../vendor/preact.js";
import { change, get, segment } from "../../core/api.js";
import { go, link } from "../../core/router.js";
import { translator } from "../../core/words.js";
import { Empty, Section, Shown, Status, statusWord, Time } from "../../parts/common.js";
import { ConfirmDialog } from "../../parts/dialog.js";
import { More, useList } from "../../parts/list.js";
import { useLoaded } from "../../parts/load.js";
import { attempt, say } from "../../parts/toast.js";

/** @typedef {import("../../core/types.js").Delivery} Delivery */
/** @typedef {import("../../core/types.js").PingResult} PingResult */

const t = translator("settings/webhook");

/** Every kind of event may have brought a delivery. */
const EVENTS = { kinds: ["task", "task_progress", "rollout", "gateway", "firmware", "package"] };
/** An attempt that is due takes a while. */
const ATTEMPT_MS = 1500;

/** @param {{webhookId: string}} props */
function Facts({ webhookId }) {
  const [asked, setAsked] = useState(false);
  const path = `/api/ota/webhooks/${segment(webhookId)}`;
  const loaded = useLoaded((signal) => get(path, {}, signal), [path]);
  const ping = () =>
    attempt(async () => {
      /** @type {PingResult} */
      const { delivered, answerStatus, error } = await change("POST", `${path}/ping`);
      say(delivered ? t("taken", { status: String(answerStatus) }) : (error ?? ""), delivered ? "good" : "bad");
    });
  const remove = async () => {
    await change("DELETE", path);
    say(t("deleted"));
    go(["settings", "webhooks"]);
  };
  const actions = html`<a class="button" href=${link(["settings", "webhooks"])}>${t("all")}</a>
    <button type="button" onClick=${ping}>${t("ping")}</button>
    <button type="button" class="danger" onClick=${() => setAsked(true)}>${t("delete")}</button>`;
  return html`<${Section} title=${t("title")} actions=${actions}>
    <${Shown} of=${loaded}>${(/** @type {import("../../core/types.js").Webhook} */ webhook) => html`<dl class="facts">
      <dt>${t("url")}</dt><dd class="mono">${webhook.url}</dd>
      <dt>${t("kinds")}</dt><dd class="mono">${webhook.kinds.join(", ")}</dd>
      ${webhook.gatewayId && html`<dt>${t("gateway")}</dt><dd><a href=${link(["gateways", webhook.gatewayId])}>${webhook.gatewayId}</a></dd>`}
      ${webhook.rolloutId && html`<dt>${t("rollout")}</dt><dd><a class="mono" href=${link(["rollouts", webhook.rolloutId])}>${webhook.rolloutId}</a></dd>`}
      <dt>${t("made")}</dt><dd><${Time} at=${webhook.createdAt} exact /></dd>
    </dl>`}<//>
    ${asked &&
    html`<${ConfirmDialog} title=${t("deleteOne")} action=${t("delete")} submit=${remove} onClose=${() => setAsked(false)}>${t("gone")}<//>`}
  <//>`;
}

/** @param {{deliveries: Delivery[], onRetry: (delivery: Delivery) => void}} props */
const Table = ({ deliveries, onRetry }) => html`<div class="scroll"><table class="audit">
  <thead><tr>
    <th scope="col">${t("when")}</th><th scope="col">${t("event")}</th><th scope="col">${t("state")}</th>
    <th scope="col" class="number">${t("attempts")}</th><th scope="col">${t("last")}</th><th scope="col">${t("next")}</th>
    <th scope="col"><span class="unseen">${t("deeds")}</span></th>
  </tr></thead>
  <tbody>${deliveries.map(
    (delivery) => html`<tr key=${delivery.deliveryId}>
      <td class="when"><${Time} at=${delivery.createdAt} exact /></td>
      <td><details><summary aria-label=${`${t("sent")}: ${delivery.kind} ${delivery.eventId}`}><code>${delivery.kind}</code></summary>
        <pre>${JSON.stringify(delivery.body, null, 2)}</pre></details></td>
      <td><${Status} of=${delivery.status} /></td>
      <td class="number">${delivery.attempts}</td>
      <td>${delivery.lastError ?? delivery.lastStatus ?? "–"}</td>
      <td>${delivery.nextAttemptAt ? html`<${Time} at=${delivery.nextAttemptAt} />` : "–"}</td>
      <td class="deeds">${delivery.status === "dead" &&
        html`<button type="button" class="small" onClick=${() => onRetry(delivery)} aria-label=${`${t("retry")}: ${delivery.kind} ${delivery.eventId}`}>${t("retry")}</button>`}</td>
    </tr>`,
  )}</tbody>
</table></div>`;

/**
 * Looks again when the next attempt is over, of which there is no event.
 *
 * @param {ReturnType<typeof useList>} list
 */
function useAttempts(list) {
  const due = (list.data ?? []).map(({ nextAttemptAt }) => Date.parse(nextAttemptAt ?? "")).filter(Number.isFinite);
  useEffect(() => {
    if (due.length === 0) {
      return undefined;
    }
    const timer = setTimeout(list.reload, Math.max(0, Math.min(...due) - Date.now()) + ATTEMPT_MS);
    return () => clearTimeout(timer);
  }, [list.data]);
}

/** @param {{webhookId: string}} props */
function Deliveries({ webhookId }) {
  const [status, setStatus] = useState("");
  const path = `/api/ota/webhooks/${segment(webhookId)}/deliveries`;
  const list = useList(path, { status }, EVENTS, { aftermath: ATTEMPT_MS });
  useAttempts(list);
  const retry = (/** @type {Delivery} */ { deliveryId }) =>
    attempt(async () => {
      await change("POST", `${path}/${segment(deliveryId)}/retry`);
      say(t("retried"));
      list.reload();
      setTimeout(list.reload, ATTEMPT_MS);
    });
  const filter = html`<label>${t("state")} <select value=${status} onChange=${(/** @type {any} */ event) => setStatus(event.target.value)}>
    <option value="">${t("every")}</option>
    ${["waiting", "delivered", "dead"].map((each) => html`<option key=${each} value=${each}>${statusWord(each)}</option>`)}
  </select></label>`;
  return html`<${Section} title=${t("deliveries")} actions=${filter}>
    <${Shown} of=${list}>${(/** @type {Delivery[]} */ deliveries) =>
      deliveries.length > 0 ? html`<${Table} deliveries=${deliveries} onRetry=${retry} />` : html`<${Empty}>${t("none")}<//>`}<//>
    <${More} list=${list} />
  <//>`;
}

/** @param {{webhookId: string}} props */
export const Webhook = ({ webhookId }) => html`<${Facts} webhookId=${webhookId} />
  <${Deliveries} webhookId=${webhookId} />`;
