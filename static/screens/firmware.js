// Firmware: the list with the upload, one firmware, two of them side by side.

import { html } from "../vendor/preact.js";
import { Compare } from "./firmware/compare.js";
import { Detail } from "./firmware/detail.js";
import { List } from "./firmware/list.js";

/** @param {{place: import("../core/router.js").Place}} props */
export default function Firmware({ place: { path, query } }) {
  const [, first, version] = path;
  if (first === undefined) {
    return html`<${List} query=${query} />`;
  }
  if (first === "compare" && version === undefined) {
    return html`<${Compare} query=${query} />`;
  }
  return html`<${Detail} deviceType=${first} version=${version ?? ""} />`;
}
