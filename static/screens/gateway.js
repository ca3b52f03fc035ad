import { html } from "../vendor/preact.js";
import { Screen } from "../parts/common.js";

/** @param {{gatewayId: string}} props */
export function Gateway({ gatewayId }) {
  return html`<${Screen} title=${gatewayId} />`;
}
