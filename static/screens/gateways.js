import { html } from "../vendor/preact.js";
import { translator } from "../core/words.js";
import { Screen } from "../parts/common.js";
import { Gateway } from "./gateway.js";

const t = translator({
  title: { en: "Gateways", zh: "网关", ru: "Шлюзы" },
});

/** @param {{place: import("../core/router.js").Place}} props */
export default function Gateways({ place }) {
  const [, gatewayId] = place.path;
  return gatewayId ? html`<${Gateway} gatewayId=${gatewayId} />` : html`<${Screen} title=${t("title")} />`;
}
