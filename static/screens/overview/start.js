// What to do first with an empty server.

import { html } from "../../vendor/preact.js";
import { currentSession, may } from "../../core/api.js";
import { link } from "../../core/router.js";
import { translator } from "../../core/words.js";
import { Copy, Section } from "../../parts/common.js";

const t = translator("overview/start");

/** @param {{text: string}} props */
const Command = ({ text }) => html`<div class="command">
  <pre tabindex="0"><code>${text}</code></pre>
  <${Copy} text=${text} />
</div>`;

/** @param {{done: boolean, title: string, href: string, children?: any}} props */
const Step = ({ done, title, href, children }) => html`<li data-done=${done || undefined}>
  <h3><a href=${href}>${title}</a> ${done && html`<span class="status" data-status="confirmed">✓ ${t("done")}</span>`}</h3>
  ${!done && children}
</li>`;

/**
 * @param {{firmwares: import("../../core/types.js").Firmware[], gateways: number}} props
 */
export function FirstSteps({ firmwares, gateways }) {
  const { origin, hostname } = location;
  const { open } = currentSession();
  const token = open ? "" : ' -H "Authorization: Bearer $TOKEN"';
  const version = firmwares[0]?.version ?? "1.0.2";
  const key = open ? "" : ` --server ${origin} --provisioning-key $KEY`;
  const released = firmwares.some(({ status }) => status === "released");
  return html`<${Section} title=${t("title")}>
    <ol class="first-steps">
      <${Step} done=${firmwares.length > 0} title=${t("upload")} href=${link(["firmware"])}>
        <p>${t("uploadHow")}</p>
        <${Command} text=${`curl -X POST ${origin}/api/ota/firmware/upload${token} -F file=@firmware.bin -F version=1.0.2`} />
      <//>
      <${Step} done=${released} title=${t("release")} href=${link(["firmware"])}>
        <p>${t("releaseHow")}</p>
        <${Command} text=${`curl -X POST ${origin}/api/ota/firmware/${version}/release${token}`} />
      <//>
      <${Step} done=${gateways > 0} title=${t("connect")} href=${link(["gateways"])}>
        <p>${t("connectHow")}</p>
        <${Command} text=${`airlift-gateway --id HQ2026TEST001 --mqtt mqtt://${hostname}:1885${key}`} />
        ${!open && may("administer") && html`<p><a href=${link(["access"])}>${t("key")}</a></p>`}
      <//>
      <${Step} done=${false} title=${t("upgrade")} href=${link(["gateways"])}><p>${t("upgradeHow")}</p><//>
    </ol>
  <//>`;
}
