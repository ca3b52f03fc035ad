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

const t = translator({
  title: { en: "Webhooks", zh: "Webhook", ru: "Вебхуки" },
  what: {
    en: "A receiver gets each event as a signed POST; what it does not take is tried again.",
    zh: "接收方会以带签名的 POST 收到每个事件；未被接受的会重试。",
    ru: "Получатель получает каждое событие подписанным POST; непринятое отправляется снова.",
  },
  none: { en: "There is no webhook.", zh: "没有 Webhook。", ru: "Вебхуков нет." },
  make: { en: "New webhook", zh: "新建 Webhook", ru: "Новый вебхук" },
  create: { en: "Make the webhook", zh: "创建 Webhook", ru: "Создать вебхук" },
  url: { en: "Address", zh: "地址", ru: "Адрес" },
  kinds: { en: "Events", zh: "事件", ru: "События" },
  made: { en: "Made", zh: "创建", ru: "Создан" },
  gatewayId: { en: "Only of this gateway", zh: "仅限此网关", ru: "Только этого шлюза" },
  rolloutId: { en: "Only of this rollout (id)", zh: "仅限此批量升级（ID）", ru: "Только этого развёртывания (id)" },
  secret: { en: "Secret", zh: "密钥", ru: "Секрет" },
  ownSecret: {
    en: "Secret of 16 to 256 characters; empty: one is made up",
    zh: "16 到 256 个字符的密钥；留空则自动生成",
    ru: "Секрет от 16 до 256 знаков; пусто – придумает сервер",
  },
  once: {
    en: "Keep it now: the receiver checks signatures with it, and it is shown this once.",
    zh: "请立即保存：接收方用它校验签名，它只显示这一次。",
    ru: "Сохраните сейчас: по нему получатель проверяет подписи; показан один раз.",
  },
});

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
