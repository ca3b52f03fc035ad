// One gateway: what it is, why it is so, its upgrade as it goes on, and what it said of itself.

import { html, useEffect, useRef, useState } from "../vendor/preact.js";
import { get, may, segment } from "../core/api.js";
import { link } from "../core/router.js";
import { translator } from "../core/words.js";
import { Screen, Section, Shown, Status, Time } from "../parts/common.js";
import { useLive } from "../parts/load.js";
import { useTasks } from "./gateway/follow.js";
import { Progress } from "./gateway/progress.js";
import { Slots, slotsOf } from "./gateway/slots.js";
import { Tags, TagsDialog } from "./gateway/tags.js";
import { Tasks } from "./gateway/timeline.js";
import { Tokens } from "./gateway/tokens.js";
import { UpgradeDialog } from "./gateway/upgrade.js";
import { Attributes, Heartbeats } from "./gateway/vitals.js";
import { Why } from "./gateway/why.js";

/** @typedef {import("../core/types.js").Gateway} GatewayState */

const t = translator("gateway");

/** @param {{gateway: GatewayState}} props */
function Brief({ gateway: { online, currentVersion, needUpgrade } }) {
  return html`<${Status} of=${online ? "online" : "offline"} />
    <b class="version">${currentVersion ?? t("unknown")}</b>
    ${needUpgrade && html`<span class="status" data-status="pending">${t("behind")}</span>`}`;
}

/** @param {{gateway: GatewayState, onTags: () => void}} props */
function Facts({ gateway, onTags }) {
  const { currentVersion, latestVersion, online, lastSeenAt, offlineAt } = gateway;
  const edit = may("operate") && html`<button type="button" class="small" onClick=${onTags}>${t("editTags")}</button>`;
  return html`<${Section} title=${t("facts")} actions=${edit} id="facts">
    <dl class="facts">
      <dt>${t("current")}</dt><dd>${currentVersion ?? t("unknown")}</dd>
      <dt>${t("latest")}</dt><dd>${latestVersion ?? t("noRelease")}</dd>
      <dt>${t("type")}</dt><dd>${gateway.deviceType}</dd>
      <dt>${t("seen")}</dt><dd><${Time} at=${lastSeenAt} exact=${online} /></dd>
      ${online && offlineAt && html`<dt>${t("offlineAt")}</dt><dd><${Time} at=${offlineAt} exact /></dd>`}
      <dt>${t("known")}</dt><dd><${Time} at=${gateway.createdAt} exact /></dd>
      <dt>${t("tags")}</dt><dd><${Tags} tags=${gateway.tags} /></dd>
    </dl>
  <//>`;
}

const INTERVAL_SECONDS_DEFAULT = 600;
const INTERVAL_SECONDS_MIN = 10;

/**
 * Most heartbeats cause no event: looks again when the next one must have been kept, and when the reader comes back.
 *
 * @param {number} seconds
 * @param {() => void} look
 */
function useDue(seconds, look) {
  const latest = useRef(look);
  latest.current = look;
  useEffect(() => {
    const lookIfSeen = () => document.hidden || latest.current();
    const timer = setInterval(lookIfSeen, seconds * 1000);
    document.addEventListener("visibilitychange", lookIfSeen);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", lookIfSeen);
    };
  }, [seconds]);
}

/** @param {string} gatewayId */
function useGateway(gatewayId) {
  const path = `/api/ota/gateways/${segment(gatewayId)}`;
  const about = (/** @type {string[]} */ ...kinds) => ({ kinds, gatewayId });
  const loader = (/** @type {string} */ below) => (/** @type {AbortSignal} */ signal) => get(path + below, undefined, signal);
  const gateway = useLive(loader(""), [gatewayId], about("gateway", "task"));
  const why = useLive(loader("/why"), [gatewayId], about("gateway", "task", "task_progress"));
  const history = useLive(loader("/heartbeats"), [gatewayId], about("gateway"));
  const interval = history.data?.intervalSeconds || INTERVAL_SECONDS_DEFAULT;
  useDue(Math.max(interval, INTERVAL_SECONDS_MIN), () => {
    [gateway, why, history].forEach(({ reload }) => reload());
  });
  return { gateway, why, history };
}

/** @param {{gatewayId: string}} props */
export function Gateway({ gatewayId }) {
  const { gateway, why, history } = useGateway(gatewayId);
  const tasks = useTasks(gatewayId);
  const [dialog, open] = useState(/** @type {"upgrade" | "tags" | null} */ (null));
  const close = () => open(null);
  /** @type {GatewayState | null} */
  const data = gateway.data;
  const slots = data ? slotsOf(data.attributes) : [];
  const upgrade = data && may("operate") && html`<button type="button" class="primary" onClick=${() => open("upgrade")}>${t("upgrade")}</button>`;
  return html`<${Screen} title=${gatewayId} actions=${upgrade}>
    <p class="row gateway-brief"><a href=${link(["gateways"])}>${t("gateways")}</a> ${data && html`<${Brief} gateway=${data} />`}</p>
    <${Why} why=${why} />
    <${Progress} tasks=${tasks} />
    <div class="cards">
      <div class="gateway-column">
        <${Shown} of=${gateway}>${() => data && html`<${Facts} gateway=${data} onTags=${() => open("tags")} />`}<//>
        ${slots.length > 0 && html`<${Slots} slots=${slots} />`}
      </div>
      ${data && html`<${Attributes} attributes=${data.attributes} />`}
    </div>
    <${Heartbeats} history=${history} />
    <${Tasks} tasks=${tasks} />
    ${may("administer") && html`<${Tokens} gatewayId=${gatewayId} />`}
    ${dialog === "upgrade" && data && html`<${UpgradeDialog} gateway=${data} onClose=${close} onTask=${tasks.hear} />`}
    ${dialog === "tags" && data && html`<${TagsDialog} gateway=${data} onClose=${close} onSaved=${gateway.reload} />`}
  <//>`;
}
