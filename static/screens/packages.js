// Packages for Linux devices: all of them, one of them.

import { html } from "../vendor/preact.js";
import { PackageList } from "./packages/list.js";
import { PackagePage } from "./packages/package.js";

/** @param {{place: import("../core/router.js").Place}} props */
export default function Packages({ place: { path, query } }) {
  const [, name] = path;
  return name === undefined
    ? html`<${PackageList} query=${query} />`
    : html`<${PackagePage} name=${name} query=${query} />`;
}
