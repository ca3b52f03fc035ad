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

const t = translator("access");

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
