// When, how fast, and what is seldom said.

import { html } from "../../vendor/preact.js";
import { translator } from "../../core/words.js";
import { Count, Input } from "./field.js";
import { READERS_ZONE } from "./request.js";

const t = translator({
  rare: { en: "When, how fast, and the rest", zh: "时间、速度及其他", ru: "Когда, как быстро и прочее" },
  startAt: { en: "Starts", zh: "开始时间", ru: "Начало" },
  startAtHelp: { en: "In your time, {zone}; empty: at once.", zh: "按你的时区 {zone}；留空则立即开始。", ru: "По вашему времени, {zone}; пусто – сразу." },
  joinUntil: { en: "Gateways may join until", zh: "允许加入的截止时间", ru: "Присоединяться можно до" },
  joinUntilHelp: {
    en: "Gateways that come to match the target are taken in until then; empty: never.",
    zh: "在此之前新符合条件的网关会加入；留空则不加入。",
    ru: "До этого времени берутся шлюзы, которые начали подходить; пусто – никогда.",
  },
  from: { en: "Window from", zh: "升级时段开始", ru: "Окно с" },
  to: { en: "Window to", zh: "升级时段结束", ru: "Окно до" },
  zone: { en: "Time zone of the window", zh: "时段的时区", ru: "Часовой пояс окна" },
  windowHelp: {
    en: "Updates begin only then, every day; it may go over midnight.",
    zh: "每天仅在此时段内开始升级，可跨午夜。",
    ru: "Обновления начинаются только в это время, каждый день; можно через полночь.",
  },
  perMinute: { en: "Commands per minute", zh: "每分钟命令数", ru: "Команд в минуту" },
  perMinuteHelp: { en: "Empty: no limit.", zh: "留空则不限。", ru: "Пусто – без ограничения." },
  jitter: { en: "Spread of the beginnings, seconds", zh: "开始时间的分散范围（秒）", ru: "Разброс начала, секунд" },
  jitterHelp: { en: "Each gateway begins at a time of its own within this.", zh: "每台网关在此范围内的不同时刻开始。", ru: "Каждый шлюз начинает в своё время в этих пределах." },
  timeout: { en: "Silence that fails a gateway, seconds", zh: "多久无响应算失败（秒）", ru: "Молчание, после которого шлюз сбойный, секунд" },
  force: { en: "Also to lower versions, and instead of upgrades under way", zh: "允许降级，并替换正在进行的升级", ru: "И на более низкие версии, и вместо идущих обновлений" },
  seed: { en: "Seed of the order", zh: "顺序种子", ru: "Зерно порядка" },
  seedHelp: {
    en: "The same seed gives the same gateways to each wave; empty: as the preview shows.",
    zh: "相同的种子使每批的网关相同；留空则与预览一致。",
    ru: "С тем же зерном в волнах те же шлюзы; пусто – как в предпросмотре.",
  },
});

/** @param {import("./field.js").Form} props */
export function Pace({ fields, set }) {
  const form = { fields, set };
  const onForce = (/** @type {any} */ event) => set({ forceUpgrade: event.target.checked });
  return html`<details class="card">
    <summary>${t("rare")}</summary>
    <div class="fields columns">
      <${Input} ...${form} name="startAt" type="datetime-local" label=${t("startAt")} help=${t("startAtHelp", { zone: READERS_ZONE })} />
      <${Input} ...${form} name="joinUntil" type="datetime-local" label=${t("joinUntil")} help=${t("joinUntilHelp")} />
      <${Input} ...${form} name="from" type="time" label=${t("from")} help=${t("windowHelp")} />
      <${Input} ...${form} name="to" type="time" label=${t("to")} />
      <${Input} ...${form} name="timezone" label=${t("zone")} list="zones" />
      <datalist id="zones">${Intl.supportedValuesOf("timeZone").map((zone) => html`<option key=${zone} value=${zone} />`)}</datalist>
      <${Count} ...${form} name="commandsPerMinute" label=${t("perMinute")} help=${t("perMinuteHelp")} />
      <${Count} ...${form} name="jitterSeconds" label=${t("jitter")} help=${t("jitterHelp")} usual="10" />
      <${Count} ...${form} name="taskTimeoutSeconds" label=${t("timeout")} usual="900" />
      <${Count} ...${form} name="seed" label=${t("seed")} help=${t("seedHelp")} />
    </div>
    <div class="fields"><label class="check"><input type="checkbox" checked=${fields.forceUpgrade} onChange=${onForce} /> ${t("force")}</label></div>
  </details>`;
}
