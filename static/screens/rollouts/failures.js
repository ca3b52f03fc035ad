// What failed, by cause, with a link to each gateway.

import { html, useState } from "../../vendor/preact.js";
import { get } from "../../core/api.js";
import { link } from "../../core/router.js";
import { translator } from "../../core/words.js";
import { Section, Shown, Time } from "../../parts/common.js";
import { More, useList } from "../../parts/list.js";
import { useLive } from "../../parts/load.js";

const t = translator("rollouts/failures");

const OPEN_AT_FIRST = 3;

/** @param {{rolloutId: string, errorCode: string}} props */
function Failed({ rolloutId, errorCode }) {
  const query = { rolloutId, status: "failed", errorCode };
  const list = useList("/api/ota/tasks", query, { kinds: ["task", "rollout"], rolloutId });
  return html`<${Shown} of=${list}>${(/** @type {import("../../core/types.js").Task[]} */ tasks) => html`
    <div class="scroll"><table class="of-gateways">
      <thead><tr>
        <th scope="col">${t("gateway")}</th>
        <th scope="col">${t("message")}</th>
        <th scope="col">${t("at")}</th>
      </tr></thead>
      <tbody>${tasks.map((task) => html`<tr key=${task.taskId}>
        <td><a href=${link(["gateways", task.gatewayId])}>${task.gatewayId}</a></td>
        <td>${task.errorMessage ?? "–"}</td>
        <td><${Time} at=${task.completeTime} /></td>
      </tr>`)}</tbody>
    </table></div>
    <${More} list=${list} />`}<//>`;
}

/** @param {{rolloutId: string, errorCode: string, count: number, opens: boolean}} props */
function Cause({ rolloutId, errorCode, count, opens }) {
  const [open, setOpen] = useState(opens);
  const onToggle = (/** @type {any} */ event) => setOpen(event.currentTarget.open);
  return html`<details class="cause" open=${open} onToggle=${onToggle}>
    <summary><code>${errorCode}</code> <span class="quiet">${t("count", { count })}</span></summary>
    ${open && html`<${Failed} rolloutId=${rolloutId} errorCode=${errorCode} />`}
  </details>`;
}

/** @param {{rolloutId: string}} props */
export function Failures({ rolloutId }) {
  const statistics = useLive(
    (signal) => /** @type {Promise<import("../../core/types.js").Statistics>} */ (get("/api/ota/statistics", { rolloutId }, signal)),
    [rolloutId],
    { kinds: ["task", "rollout"], rolloutId },
  );
  return html`<${Section} title=${t("title")}>
    <${Shown} of=${statistics}>${(/** @type {import("../../core/types.js").Statistics} */ { byErrorCode }) =>
      Object.entries(byErrorCode)
        .sort(([, one], [, other]) => other - one)
        .map(([errorCode, count], place) =>
          html`<${Cause} key=${errorCode} rolloutId=${rolloutId} errorCode=${errorCode} count=${count} opens=${place < OPEN_AT_FIRST} />`)}<//>
  <//>`;
}
