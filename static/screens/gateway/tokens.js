// A gateway's tokens: for administrators.

import { html, useState } from "../../vendor/preact.js";
import { change, currentSession, get, segment } from "../../core/api.js";
import { translator } from "../../core/words.js";
import { Copy, Empty, Section, Shown, Time } from "../../parts/common.js";
import { Dialog, FormDialog } from "../../parts/dialog.js";
import { useLoaded } from "../../parts/load.js";

/** @typedef {import("../../core/types.js").GatewayToken} GatewayToken */

const t = translator({
  title: { en: "Tokens", zh: "令牌", ru: "Токены" },
  none: { en: "It has no token.", zh: "没有令牌。", ru: "Токена нет." },
  issue: { en: "Make a token", zh: "创建令牌", ru: "Создать токен" },
  rotate: { en: "Rotate the token", zh: "轮换令牌", ru: "Сменить токен" },
  revoke: { en: "Revoke all", zh: "全部吊销", ru: "Отозвать все" },
  rotateHelp: {
    en: "The old one stays good until the new one is first used, at latest for a week.",
    zh: "旧令牌在新令牌首次使用前仍然有效，最长一周。",
    ru: "Старый действует до первого использования нового, но не дольше недели.",
  },
  closes: {
    en: "This server is open, and its first token closes it for everybody, this page included. Make an administrator first.",
    zh: "此服务器处于开放状态，第一个令牌会对所有人（包括本页面）关闭它。请先创建管理员。",
    ru: "Сервер открыт; первый же токен закроет его для всех, и для этой страницы. Сначала создайте администратора.",
  },
  revokeHelp: {
    en: "{id} is cut off at once and can't come back until a token is made for it.",
    zh: "{id} 会立即断开，在为其创建新令牌之前无法重新连接。",
    ru: "{id} сразу отключится и не вернётся, пока ему не создадут токен.",
  },
  shown: {
    en: "The token of {id}. It is shown this once: copy it now.",
    zh: "{id} 的令牌。仅显示这一次，请立即复制。",
    ru: "Токен {id}. Он показан один раз: скопируйте его сейчас.",
  },
  close: { en: "Close", zh: "关闭", ru: "Закрыть" },
  made: { en: "Made", zh: "创建时间", ru: "Создан" },
  by: { en: "By", zh: "创建者", ru: "Кем" },
  used: { en: "Last used", zh: "最近使用", ru: "Использован" },
  state: { en: "State", zh: "状态", ru: "Состояние" },
  good: { en: "good", zh: "有效", ru: "действует" },
  ending: { en: "good until", zh: "有效期至", ru: "действует до" },
  ended: { en: "ended", zh: "已失效", ru: "истёк" },
  revoked: { en: "revoked", zh: "已吊销", ru: "отозван" },
});

/** @param {GatewayToken} token */
const isGood = ({ revokedAt, expiresAt }) => !revokedAt && (!expiresAt || Date.parse(expiresAt) > Date.now());

/** @param {{token: GatewayToken}} props */
function State({ token }) {
  const { revokedAt, expiresAt } = token;
  if (revokedAt) {
    return html`${t("revoked")} <${Time} at=${revokedAt} />`;
  }
  if (!expiresAt) {
    return t("good");
  }
  return html`${isGood(token) ? t("ending") : t("ended")} <${Time} at=${expiresAt} exact />`;
}

/** @param {{tokens: GatewayToken[]}} props */
function Table({ tokens }) {
  return html`<div class="scroll" tabindex="0" role="group" aria-label=${t("title")}><table>
    <thead><tr>
      <th scope="col">${t("state")}</th><th scope="col">${t("made")}</th><th scope="col">${t("by")}</th><th scope="col">${t("used")}</th>
    </tr></thead>
    <tbody>
      ${tokens.toReversed().map(
        (token) => html`<tr key=${token.tokenId}>
          <td><${State} token=${token} /></td><td><${Time} at=${token.createdAt} /></td>
          <td>${token.createdBy}</td><td><${Time} at=${token.lastUsedAt} /></td>
        </tr>`,
      )}
    </tbody>
  </table></div>`;
}

/** @param {{gatewayId: string, token: string, onClose: () => void}} props */
function Secret({ gatewayId, token, onClose }) {
  return html`<${Dialog} title=${t("title")} onClose=${onClose}>
    <div class="fields">
      <p>${t("shown", { id: gatewayId })}</p>
      <p class="row"><code>${token}</code> <${Copy} text=${token} label=${t("title")} /></p>
      <div class="actions"><button type="button" class="primary" onClick=${onClose}>${t("close")}</button></div>
    </div>
  <//>`;
}

/** @param {{gatewayId: string}} props */
export function Tokens({ gatewayId }) {
  const path = `/api/ota/gateways/${segment(gatewayId)}/token`;
  const loaded = useLoaded((signal) => get(`${path}s`, undefined, signal), [gatewayId]);
  const [asked, ask] = useState(/** @type {"issue" | "revoke" | {secret: string} | null} */ (null));
  /** @type {GatewayToken[]} */
  const tokens = loaded.data ?? [];
  const good = tokens.some(isGood);
  const deed = good ? t("rotate") : t("issue");
  const issue = async () => {
    ask({ secret: (await change("POST", path, { issue: "any" })).token });
    loaded.reload();
  };
  const revoke = async () => {
    await change("DELETE", path);
    loaded.reload();
  };
  const actions = html`<button type="button" onClick=${() => ask("issue")}>${deed}</button>
    ${good && html`<button type="button" class="danger" onClick=${() => ask("revoke")}>${t("revoke")}</button>`}`;
  const close = () => ask(null);
  const closeIssue = () => ask((now) => (now === "issue" ? null : now));
  return html`<${Section} title=${t("title")} actions=${loaded.data && actions} id="tokens">
    <${Shown} of=${loaded}>
      ${() => (tokens.length === 0 ? html`<${Empty}>${t("none")}<//>` : html`<${Table} tokens=${tokens} />`)}
    <//>
    ${asked === "issue" &&
    html`<${FormDialog} title=${deed} action=${deed} danger=${currentSession().open} submit=${issue} onClose=${closeIssue}>
      ${good && html`<p>${t("rotateHelp")}</p>`}
      ${currentSession().open && html`<p class="notice">${t("closes")}</p>`}
    <//>`}
    ${asked === "revoke" &&
    html`<${FormDialog} title=${t("revoke")} action=${t("revoke")} danger submit=${revoke} onClose=${close}>
      <p>${t("revokeHelp", { id: gatewayId })}</p>
    <//>`}
    ${asked !== null && typeof asked === "object" && html`<${Secret} gatewayId=${gatewayId} token=${asked.secret} onClose=${close} />`}
  <//>`;
}
