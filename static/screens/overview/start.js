// What to do first with an empty server.

import { html } from "../../vendor/preact.js";
import { currentSession, may } from "../../core/api.js";
import { link } from "../../core/router.js";
import { translator } from "../../core/words.js";
import { Copy, Section } from "../../parts/common.js";

const t = translator({
  title: { en: "First steps", zh: "入门步骤", ru: "Первые шаги" },
  done: { en: "done", zh: "已完成", ru: "сделано" },
  upload: { en: "Upload a firmware", zh: "上传固件", ru: "Загрузите прошивку" },
  uploadHow: {
    en: "Drop its file on the firmware page, or type:",
    zh: "将文件拖到固件页，或输入：",
    ru: "Перетащите файл на страницу прошивок или наберите:",
  },
  release: { en: "Release it", zh: "发布固件", ru: "Выпустите её" },
  releaseHow: {
    en: "With one click on the firmware page, or:",
    zh: "在固件页点击一下，或：",
    ru: "Одним нажатием на странице прошивок или так:",
  },
  connect: { en: "Connect a gateway", zh: "连接网关", ru: "Подключите шлюз" },
  connectHow: {
    en: "A simulated one on a PC; its port is the one of the server's --mqtt-listen:",
    zh: "在电脑上模拟一个；端口即服务器的 --mqtt-listen 端口：",
    ru: "Имитация на ПК; порт – тот, что у сервера в --mqtt-listen:",
  },
  key: {
    en: "Keys with which gateways fetch their tokens are made here",
    zh: "在此创建网关用于领取令牌的密钥",
    ru: "Ключи, по которым шлюзы получают токены, создаются здесь",
  },
  upgrade: { en: "Upgrade it", zh: "升级网关", ru: "Обновите его" },
  upgradeHow: {
    en: "Open the gateway in the list and press Upgrade: this page shows it happen.",
    zh: "在列表中打开该网关并点击升级：本页会显示全过程。",
    ru: "Откройте шлюз в списке и нажмите «Обновить»: всё будет видно на этой странице.",
  },
});

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
