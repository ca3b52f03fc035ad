// A firmware's status, and the buttons for what may come next.

import { html, useState } from "../../vendor/preact.js";
import { change, may } from "../../core/api.js";
import { translator } from "../../core/words.js";
import { Status } from "../../parts/common.js";
import { FormDialog } from "../../parts/dialog.js";
import { say } from "../../parts/toast.js";
import { apiOf, nameOf, soon, step, stepSoon } from "./steps.js";

/** @typedef {import("../../core/types.js").Firmware} Firmware */

const t = translator("firmware/status");

/** @param {{firmware: Firmware}} props */
export function StatusOf({ firmware }) {
  switch (soon(firmware)) {
    case "testing":
      return html`<span class="status" data-status="pending">${t("soon_testing")}</span>`;
    case "released":
      return html`<span class="status" data-status="pending">${t("soon_released")}</span>`;
    default:
      return html`<${Status} of=${firmware.status} />`;
  }
}

/** @param {{firmware: Firmware, small?: boolean}} props */
export function StepButtons({ firmware, small }) {
  if (!may("publish") || soon(firmware)) {
    return null;
  }
  const name = nameOf(firmware);
  const size = small ? "small" : "";
  const isDraft = firmware.status === "draft";
  return html`${isDraft &&
    html`<button type="button" class=${size} aria-label=${t("test_name", { name })} onClick=${() => stepSoon(firmware, "testing")}>${t("test")}</button>`}
    ${(isDraft || firmware.status === "testing") &&
    html`<button type="button" class="primary ${size}" aria-label=${t("release_name", { name })} onClick=${() => stepSoon(firmware, "released")}>
      ${t("release")}
    </button>`}`;
}

/** What asks before. @param {{firmware: Firmware, onDeleted: () => void}} props */
export function EndButtons({ firmware, onDeleted }) {
  const [asking, setAsking] = useState(false);
  const isDraft = firmware.status === "draft";
  if (!may("publish") || soon(firmware) || !(isDraft || firmware.status === "released")) {
    return null;
  }
  const name = nameOf(firmware);
  const remove = async () => {
    await change("DELETE", apiOf(firmware));
    say(t("deleted", { name }));
    onDeleted();
  };
  return html`<button type="button" onClick=${() => setAsking(true)}>${isDraft ? t("delete") : t("deprecate")}</button>
    ${asking &&
    html`<${FormDialog}
      danger
      title=${isDraft ? t("delete_title", { name }) : t("deprecate_title", { name })}
      action=${isDraft ? t("delete") : t("deprecate")}
      submit=${isDraft ? remove : () => step(firmware, "deprecated")}
      onClose=${() => setAsking(false)}
    >
      <p>${isDraft ? t("delete_text") : t("deprecate_text")}</p>
    <//>`}`;
}
