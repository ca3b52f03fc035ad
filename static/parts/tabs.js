// The parts of a screen, each with an address of its own.

import { html } from "../vendor/preact.js";
import { link } from "../core/router.js";

/** @param {{label: string, screen: string, at: string, tabs: [string, string][]}} props each by its place and its name */
export const Tabs = ({ label, screen, at, tabs }) => html`<ul class="tabs" aria-label=${label}>
  ${tabs.map(
    ([place, name]) => html`<li key=${place}>
      <a href=${link([screen, place])} aria-current=${place === at ? "page" : undefined}>${name}</a>
    </li>`,
  )}
</ul>`;
