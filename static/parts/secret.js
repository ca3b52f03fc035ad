// A secret that the server shows once.

import { html, useLayoutEffect } from "../vendor/preact.js";
import { stayHere } from "../core/api.js";
import { translator } from "../core/words.js";
import { Copy } from "./common.js";
import { Dialog } from "./dialog.js";

const t = translator("secret");

/**
 * @param {{title: string, name: string, secret: string, onClose: () => void, once?: string, children?: any}} props
 * `name`: what the secret is
 */
export function SecretDialog({ title, name, secret, onClose, once, children }) {
  // The first credential closes an open server, also to this page.
  useLayoutEffect(stayHere, []);
  return html`<${Dialog} title=${title} onClose=${onClose}>
    <div class="fields">
      <p class="notice">${once ?? t("once")}</p>
      <label>${name}<textarea class="mono secret" readonly rows="2" value=${secret} onFocus=${selectAll} /></label>
      ${children}
      <div class="actions">
        <${Copy} text=${secret} label=${name} />
        <button type="button" class="primary" onClick=${onClose}>${t("kept")}</button>
      </div>
    </div>
  <//>`;
}

/** @param {FocusEvent} event */
const selectAll = (event) => /** @type {HTMLTextAreaElement} */ (event.currentTarget).select();
