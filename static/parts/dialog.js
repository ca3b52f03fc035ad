// Dialogs: the browser's own, which keep the focus within and close with Escape.

import { html, useEffect, useRef, useState } from "../vendor/preact.js";
import { translator } from "../core/words.js";
import { Problem } from "./common.js";

const t = translator("dialog");

/**
 * @param {{title: string, onClose: () => void, children?: any}} props
 */
export function Dialog({ title, onClose, children }) {
  const dialog = useRef(/** @type {HTMLDialogElement | null} */ (null));
  useEffect(() => {
    const opener = /** @type {HTMLElement | null} */ (document.activeElement);
    dialog.current?.showModal();
    return () => opener?.focus();
  }, []);
  // One that has gone already may still tell.
  const closed = (/** @type {Event} */ { currentTarget }) => /** @type {Element} */ (currentTarget).isConnected && onClose();
  return html`<dialog ref=${dialog} aria-label=${title} onClose=${closed}>
    <h2>${title}</h2>
    ${children}
  </dialog>`;
}

/**
 * A dialog with a form; it closes when `submit` has succeeded, and shows what went wrong.
 *
 * @param {{title: string, action: string, danger?: boolean, dismiss?: string, submit: (fields: Record<string, string>) => Promise<unknown>, onClose: () => void, children?: any}} props
 */
export function FormDialog({ title, action, danger, dismiss = t("cancel"), submit, onClose, children }) {
  const [error, setError] = useState(/** @type {Error | null} */ (null));
  const [busy, setBusy] = useState(false);
  const onSubmit = async (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    const form = new FormData(/** @type {HTMLFormElement} */ (event.currentTarget));
    setBusy(true);
    setError(null);
    try {
      await submit(/** @type {Record<string, string>} */ (Object.fromEntries(form)));
      onClose();
    } catch (failure) {
      setError(/** @type {Error} */ (failure));
    } finally {
      setBusy(false);
    }
  };
  return html`<${Dialog} title=${title} onClose=${onClose}>
    <form class="fields" onSubmit=${onSubmit}>
      ${children}
      <${Problem} error=${error} />
      <div class="actions">
        <button type="button" onClick=${onClose}>${dismiss}</button>
        <button class=${danger ? "danger" : "primary"} disabled=${busy}>${action}</button>
      </div>
    </form>
  <//>`;
}

/**
 * Asks before something that can't be undone.
 *
 * @param {{title: string, action: string, submit: () => Promise<unknown>, onClose: () => void, children?: any}} props
 */
export const ConfirmDialog = ({ title, action, submit, onClose, children }) =>
  html`<${FormDialog} title=${title} action=${action} danger submit=${submit} onClose=${onClose}><p>${children}</p><//>`;
