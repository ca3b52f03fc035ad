// The dialog that begins an upgrade.

import { html, useState } from "../../vendor/preact.js";
import { change, get, segment } from "../../core/api.js";
import { bytes } from "../../core/format.js";
import { link } from "../../core/router.js";
import { translator } from "../../core/words.js";
import { Empty, Shown, statusWord } from "../../parts/common.js";
import { Dialog, FormDialog } from "../../parts/dialog.js";
import { useLoaded } from "../../parts/load.js";

/** @typedef {import("../../core/types.js").Firmware} Firmware */
/** @typedef {import("../../core/types.js").Gateway} GatewayState */
/** @typedef {import("../../core/types.js").Task} Task */

const t = translator("gateway/upgrade");

/** @param {Firmware} firmware @param {GatewayState} gateway */
function named({ version, status }, gateway) {
  const notes = [statusWord(status)];
  if (version === gateway.latestVersion) {
    notes.push(t("latest"));
  }
  if (version === gateway.currentVersion) {
    notes.push(t("current"));
  }
  return `${version} (${notes.join(", ")})`;
}

/** @param {{firmware: Firmware}} props */
function About({ firmware: { description, changelog, fileSize } }) {
  return html`<div class="about-firmware">
    <p>${description} <span class="quiet">${bytes(fileSize)}</span></p>
    ${changelog && html`<details><summary>${t("changelog")}</summary><pre tabindex="0">${changelog}</pre></details>`}
  </div>`;
}

/** @param {{gateway: GatewayState, firmwares: Firmware[], onClose: () => void, onTask: (task: Task) => void}} props */
function UpgradeForm({ gateway, firmwares, onClose, onTask }) {
  const { gatewayId, latestVersion } = gateway;
  const [version, setVersion] = useState(latestVersion ?? firmwares[0].version);
  const chosen = firmwares.find((each) => each.version === version) ?? firmwares[0];
  const submit = async (/** @type {Record<string, string>} */ { forceUpgrade, scheduledAt }) => {
    const body = {
      version: chosen.version,
      forceUpgrade: forceUpgrade === "on",
      scheduledAt: scheduledAt ? new Date(scheduledAt).toISOString() : null,
    };
    onTask(await change("POST", `/api/ota/upgrade/${segment(gatewayId)}`, body));
  };
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  return html`<${FormDialog} title=${t("title", { id: gatewayId })} action=${t("action")} submit=${submit} onClose=${onClose}>
    <label>${t("version")}
      <select name="version" value=${chosen.version} onChange=${(/** @type {any} */ event) => setVersion(event.target.value)}>
        ${firmwares.map((each) => html`<option key=${each.version} value=${each.version}>${named(each, gateway)}</option>`)}
      </select>
    </label>
    <${About} firmware=${chosen} />
    <label class="check"><input type="checkbox" name="forceUpgrade" /> ${t("force")}
      <span class="help">${t("forceHelp")}</span></label>
    <label>${t("scheduled")}
      <input type="datetime-local" name="scheduledAt" />
      <span class="help">${t("scheduledHelp", { zone })}</span></label>
  <//>`;
}

/**
 * The gateway as it is now, as releases are no events of it, and what it can get, the newest first.
 *
 * @param {GatewayState} gateway
 * @param {AbortSignal} signal
 */
async function choices({ gatewayId, deviceType }, signal) {
  const [gateway, released, testing] = await Promise.all([
    get(`/api/ota/gateways/${segment(gatewayId)}`, undefined, signal),
    get("/api/ota/firmware", { deviceType, status: "released", limit: 500 }, signal),
    get("/api/ota/firmware", { deviceType, status: "testing", limit: 500 }, signal),
  ]);
  /** @type {Firmware[]} */
  const firmwares = [...released.items, ...testing.items];
  firmwares.sort((one, other) => Date.parse(other.createdAt) - Date.parse(one.createdAt));
  return { gateway, firmwares };
}

/** @param {{gateway: GatewayState, onClose: () => void, onTask: (task: Task) => void}} props */
export function UpgradeDialog({ gateway, onClose, onTask }) {
  const { gatewayId, deviceType } = gateway;
  const loaded = useLoaded((signal) => choices(gateway, signal), [gatewayId, deviceType]);
  if (loaded.data && loaded.data.firmwares.length > 0) {
    return html`<${UpgradeForm} ...${loaded.data} onClose=${onClose} onTask=${onTask} />`;
  }
  return html`<${Dialog} title=${t("title", { id: gatewayId })} onClose=${onClose}>
    <${Shown} of=${loaded}>
      ${() => html`<${Empty}>${t("none", { type: deviceType })} <a href=${link(["firmware"])}>${t("firmware")}</a><//>`}
    <//>
  <//>`;
}
