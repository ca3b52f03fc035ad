// Who may do what: tokens, users, keys.

import { html } from "../vendor/preact.js";
import { currentSession, may } from "../core/api.js";
import { translator } from "../core/words.js";
import { Screen } from "../parts/common.js";
import { AdministratorNeeded } from "../parts/role.js";
import { Tabs } from "../parts/tabs.js";
import { FirstUser } from "./access/closing.js";
import { GatewayTokens } from "./access/gateway_tokens.js";
import { ProvisioningKeys } from "./access/provisioning.js";
import { SigningKeys } from "./access/signing.js";
import { Tokens } from "./access/tokens.js";
import { Users } from "./access/users.js";

const t = translator({
  title: { en: "Tokens and keys", zh: "令牌与密钥", ru: "Токены и ключи" },
  tokens: { en: "Tokens", zh: "令牌", ru: "Токены" },
  users: { en: "Users", zh: "用户", ru: "Пользователи" },
  provisioning: { en: "Provisioning keys", zh: "配置密钥", ru: "Ключи подготовки" },
  gateways: { en: "Gateway tokens", zh: "网关令牌", ru: "Токены шлюзов" },
  signing: { en: "Signing keys", zh: "签名密钥", ru: "Ключи подписи" },
});

/** @type {Record<string, any>} */
const PARTS = { tokens: Tokens, users: Users, provisioning: ProvisioningKeys, gateways: GatewayTokens, signing: SigningKeys };

/** @param {{place: import("../core/router.js").Place}} props */
export default function Access({ place }) {
  const at = Object.hasOwn(PARTS, place.path[1] ?? "") ? place.path[1] : "tokens";
  const seen = at === "signing" || may("administer");
  return html`<${Screen} title=${t("title")}>
    <${Tabs}
      label=${t("title")}
      screen="access"
      at=${at}
      tabs=${[
        ["tokens", t("tokens")],
        ["users", t("users")],
        ["provisioning", t("provisioning")],
        ["gateways", t("gateways")],
        ["signing", t("signing")],
      ]}
    />
    ${currentSession().open && html`<${FirstUser} />`}
    ${seen ? html`<${PARTS[at]} />` : html`<${AdministratorNeeded} />`}
  <//>`;
}
