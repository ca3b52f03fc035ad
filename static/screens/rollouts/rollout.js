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

const t = translator({
  rollout: { en: "Rollout", zh: "批量升级", ru: "Развёртывание" },
  all: { en: "All rollouts", zh: "全部批量升级", ru: "Все развёртывания" },
  progress: { en: "Progress", zh: "进度", ru: "Ход" },
  halted: { en: "Halted: nothing more is sent.", zh: "已中止：不再发送命令。", ru: "Остановлено: больше ничего не отправляется." },
  accepts: {
    en: "Resume accepts these failures: only further ones count.",
    zh: "继续即接受这些失败：只计算之后的失败。",
    ru: "«Продолжить» принимает эти сбои: считаются только новые.",
  },
  waitsFor: { en: "Waits: {what}", zh: "等待：{what}", ru: "Ждёт: {what}" },
  done: { en: "{done} of {total} confirmed ({share})", zh: "已确认 {done} / {total}（{share}）", ru: "подтверждено {done} из {total} ({share})" },
  pause: { en: "Pause", zh: "暂停", ru: "Приостановить" },
  resume: { en: "Resume", zh: "继续", ru: "Продолжить" },
  retry: { en: "Retry the failed", zh: "重试失败的", ru: "Повторить для сбойных" },
  cancel: { en: "Cancel the rollout", zh: "取消批量升级", ru: "Отменить развёртывание" },
  sure: { en: "Cancel this rollout for good?", zh: "永久取消此批量升级？", ru: "Отменить это развёртывание навсегда?" },
  meaning: {
    en: "Commands that nobody has answered are taken back; updates that have begun go on. It cannot be resumed.",
    zh: "尚无应答的命令会被撤回，已开始的升级会继续进行。取消后无法恢复。",
    ru: "Команды без ответа отзываются, начатые обновления продолжаются. Возобновить его нельзя.",
  },
  keep: { en: "Keep it", zh: "保留", ru: "Оставить" },
  asked: { en: "As it was asked for", zh: "请求内容", ru: "Как было задано" },
  version: { en: "Version", zh: "版本", ru: "Версия" },
  deviceType: { en: "Device type", zh: "设备类型", ru: "Тип устройств" },
  target: { en: "Target", zh: "目标", ru: "Цель" },
  everyGateway: { en: "all of the device type", zh: "该设备类型的全部网关", ru: "все шлюзы этого типа" },
  ids: {
    en: { one: "{count} id", other: "{count} ids" },
    zh: "{count} 个 ID",
    ru: { one: "{count} ID", other: "{count} ID" },
  },
  waves: { en: "Waves", zh: "批次", ru: "Волны" },
  haltAt: { en: "Halts above", zh: "中止阈值", ru: "Остановка свыше" },
  soak: { en: "Soak", zh: "观察时间", ru: "Выдержка" },
  inFlight: { en: "At the same time", zh: "同时进行", ru: "Одновременно" },
  perMinute: { en: "Commands per minute", zh: "每分钟命令数", ru: "Команд в минуту" },
  noLimit: { en: "no limit", zh: "不限", ru: "без ограничения" },
  timeout: { en: "Silence that fails", zh: "无响应超时", ru: "Молчание до сбоя" },
  window: { en: "Window", zh: "升级时段", ru: "Окно" },
  always: { en: "always", zh: "始终", ru: "всегда" },
  starts: { en: "Starts", zh: "开始时间", ru: "Начало" },
  joins: { en: "Gateways may join until", zh: "允许加入至", ru: "Присоединение до" },
  forced: { en: "Also to lower versions", zh: "允许降级", ru: "И на более низкие версии" },
  yes: { en: "yes", zh: "是", ru: "да" },
  seed: { en: "Seed", zh: "种子", ru: "Зерно" },
  made: { en: "Made", zh: "创建时间", ru: "Создано" },
  ended: { en: "Ended", zh: "结束时间", ru: "Завершено" },
});

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
