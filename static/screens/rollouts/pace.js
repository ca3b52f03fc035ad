// When, how fast, and what is seldom said.

import { html } from "../../vendor/preact.js";
import { translator } from "../../core/words.js";
import { Count, Input } from "./field.js";
import { READERS_ZONE } from "./request.js";

const t = translator("rollouts/pace");

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
