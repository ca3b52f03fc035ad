// The reader's own settings, and what the server runs with.

import { html } from "../vendor/preact.js";
import { currentSession, may } from "../core/api.js";
import { translator } from "../core/words.js";
import { Screen } from "../parts/common.js";
import { AdministratorNeeded } from "../parts/role.js";
import { Tabs } from "../parts/tabs.js";
import { About } from "./settings/about.js";
import { Account, PageSettings } from "./settings/own.js";
import { ServerSettings } from "./settings/server.js";
import { Webhook } from "./settings/webhook.js";
import { Webhooks } from "./settings/webhooks.js";

const t = translator("settings");

const Own = () => html`<${PageSettings} />
  ${currentSession().kind === "user" && html`<${Account} />`}`;

/** @param {{webhookId?: string}} props */
const WebhooksOrOne = ({ webhookId }) =>
  webhookId ? html`<${Webhook} webhookId=${webhookId} />` : html`<${Webhooks} />`;

/** @type {Record<string, any>} */
const PARTS = { own: Own, server: ServerSettings, webhooks: WebhooksOrOne, about: About };

/** @param {{place: import("../core/router.js").Place}} props */
export default function Settings({ place }) {
  const [, wanted = "", webhookId] = place.path;
  const at = Object.hasOwn(PARTS, wanted) ? wanted : "own";
  const seen = at === "own" || at === "about" || may("administer");
  return html`<${Screen} title=${t("title")}>
    <${Tabs}
      label=${t("title")}
      screen="settings"
      at=${at}
      tabs=${[
        ["own", t("own")],
        ["server", t("server")],
        ["webhooks", t("webhooks")],
        ["about", t("about")],
      ]}
    />
    ${seen ? html`<${PARTS[at]} webhookId=${webhookId} />` : html`<${AdministratorNeeded} />`}
  <//>`;
}
