// One rollout: how far it is, what went wrong, and what can be done.

import { html, useState } from "../../vendor/preact.js";
import { change, get, may, segment } from "../../core/api.js";
import { duration, number, percent, time } from "../../core/format.js";
import { link } from "../../core/router.js";
import { translator } from "../../core/words.js";
import { FormDialog } from "../../parts/dialog.js";
import { Copy, Screen, Section, Shown, Status, Time } from "../../parts/common.js";
import { useLive } from "../../parts/load.js";
import { attempt } from "../../parts/toast.js";
import { WavesBar } from "./bar.js";
import { Failures } from "./failures.js";
import { Members } from "./members.js";
import { AFTERMATH_MS } from "./segments.js";

const t = translator("rollouts/rollout");

/** @typedef {import("../../core/types.js").Rollout} Rollout */
/** @typedef {"pause" | "resume" | "retry" | "cancel"} Action */

/** From which states an action can be done, as docs/rollouts.md has it. @type {Record<Action, string[]>} */
const FROM = {
  pause: ["scheduled", "running"],
  resume: ["paused", "halted"],
  retry: ["running", "paused", "halted", "completed"],
  cancel: ["scheduled", "running", "paused", "halted"],
};

/** @param {Rollout} rollout @param {Action} action */
function possible({ state, counters }, action) {
  const worthwhile = action !== "retry" || counters.failed + counters.skipped > 0;
  return worthwhile && FROM[action].includes(state);
}

/** @param {{rollout: Rollout, reload: () => void}} props */
function Actions({ rollout, reload }) {
  const [asks, setAsks] = useState(false);
  const act = async (/** @type {Action} */ action) => {
    await change("POST", `/api/ota/rollouts/${segment(rollout.rolloutId)}/${action}`);
    reload();
  };
  const button = (/** @type {Action} */ action, tone = "") =>
    possible(rollout, action) &&
    html`<button type="button" class=${tone} onClick=${() => attempt(() => act(action))}>${t(/** @type {any} */ (action))}</button>`;
  return html`${button("resume", "primary")} ${button("pause")} ${button("retry")}
    ${possible(rollout, "cancel") && html`<button type="button" class="danger" onClick=${() => setAsks(true)}>${t("cancel")}</button>`}
    ${asks && html`<${FormDialog} title=${t("sure")} action=${t("cancel")} dismiss=${t("keep")} danger
      submit=${() => act("cancel")} onClose=${() => setAsks(false)}><p>${t("meaning")}</p><//>`}`;
}

/** @param {Rollout["target"]} target */
function targetInWords({ filter, currentVersion, gatewayIds, tags }) {
  const tagged = Object.entries(tags ?? {}).map(([key, value]) => `tag:${key}=${value}`);
  const ids = gatewayIds && t("ids", { count: gatewayIds.length });
  return [filter, ...tagged, currentVersion, ids].filter(Boolean).join(" · ") || t("everyGateway");
}

/** @param {{rollout: Rollout}} props */
function Asked({ rollout }) {
  const { window } = rollout;
  const facts = /** @type {[string, any][]} */ ([
    [t("deviceType"), rollout.deviceType],
    [t("version"), html`<a href=${link(["firmware", rollout.deviceType, rollout.version])}>${rollout.version}</a>`],
    [t("target"), targetInWords(rollout.target)],
    [t("waves"), rollout.waves.map((wave) => `${wave} %`).join(", ")],
    [t("haltAt"), `${rollout.haltAtFailurePercent} %`],
    [t("soak"), duration(rollout.soakSeconds)],
    [t("inFlight"), number(rollout.maxInFlight)],
    [t("perMinute"), rollout.commandsPerMinute ? number(rollout.commandsPerMinute) : t("noLimit")],
    [t("timeout"), duration(rollout.taskTimeoutSeconds)],
    [t("window"), window ? `${window.from}–${window.to} ${window.timezone}` : t("always")],
    rollout.startAt && [t("starts"), time(rollout.startAt)],
    rollout.joinUntil && [t("joins"), time(rollout.joinUntil)],
    rollout.forceUpgrade && [t("forced"), t("yes")],
    [t("seed"), html`${rollout.seed} <${Copy} text=${String(rollout.seed)} label=${t("seed")} />`],
    [t("made"), html`<${Time} at=${rollout.createdAt} exact />`],
    rollout.endedAt && [t("ended"), html`<${Time} at=${rollout.endedAt} exact />`],
  ].filter(Boolean));
  return html`<details class="card">
    <summary>${t("asked")}</summary>
    <dl class="facts">${facts.map(([name, value]) => html`<dt key=${name}>${name}</dt><dd>${value}</dd>`)}</dl>
  </details>`;
}

/** @param {{rollout: Rollout}} props */
function Progress({ rollout }) {
  const { counters, reason, state, waitingFor } = rollout;
  const done = { done: number(counters.confirmed), total: number(counters.total), share: percent(counters.confirmed / (counters.total || 1)) };
  return html`<${Section} title=${t("progress")} actions=${html`<${Status} of=${state} />`}>
    ${state === "halted" && html`<div class="halted" role="alert">
      <strong>${t("halted")}</strong><p>${reason}</p><p>${t("accepts")}</p></div>`}
    ${state !== "halted" && reason && html`<p>${reason}</p>`}
    ${waitingFor && state !== "halted" && html`<p class="quiet">${t("waitsFor", { what: waitingFor })}</p>`}
    <p role="status"><strong>${t("done", done)}</strong></p>
    <${WavesBar} rollout=${rollout} />
  <//>`;
}

/** @param {{rolloutId: string, query: Record<string, string>}} props */
export function RolloutPage({ rolloutId, query }) {
  const filter = { kinds: ["rollout", "task"], rolloutId };
  const loaded = useLive(
    (signal) => /** @type {Promise<Rollout>} */ (get(`/api/ota/rollouts/${segment(rolloutId)}`, {}, signal)),
    [rolloutId],
    filter,
    { aftermath: AFTERMATH_MS },
  );
  const rollout = loaded.data;
  const title = rollout ? [rollout.name, rollout.version].filter(Boolean).join(" · ") : t("rollout");
  const actions = html`<a class="button" href=${link(["rollouts"])}>${t("all")}</a>
    ${rollout && may("operate") && html`<${Actions} rollout=${rollout} reload=${loaded.reload} />`}`;
  return html`<${Screen} title=${title} actions=${actions}>
    <${Shown} of=${loaded}>${(/** @type {Rollout} */ rollout) => html`
      <${Progress} rollout=${rollout} />
      ${rollout.counters.failed > 0 && html`<${Failures} rolloutId=${rolloutId} />`}
      <${Members} rollout=${rollout} state=${query.state ?? ""} wave=${query.wave ?? ""} />
      <${Asked} rollout=${rollout} />`}<//>
  <//>`;
}
