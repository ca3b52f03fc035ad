// Form fields with their help beside them.

import { cloneElement, html, useId } from "../../vendor/preact.js";

/** @typedef {import("./request.js").Fields} Fields */
/** @typedef {{fields: Fields, set: (change: Partial<Fields>) => void}} Form */

/** @param {{label: string, help?: string, children?: any}} props */
export function Field({ label, help, children }) {
  const id = useId();
  return html`<div class="field">
    <label for=${id}>${label}</label>
    ${cloneElement(children, { id, "aria-describedby": help && `${id}-help` })}
    ${help && html`<span class="help" id=${`${id}-help`}>${help}</span>`}
  </div>`;
}

/**
 * @param {Form & {name: keyof Fields, label: string, help?: string, type?: string, [attribute: string]: any}} props
 */
export function Input({ name, label, help, fields, set, type = "text", ...rest }) {
  const onInput = (/** @type {any} */ event) => set({ [name]: event.target.value });
  return html`<${Field} label=${label} help=${help}>
    <input type=${type} value=${fields[name]} onInput=${onInput} autocomplete="off" ...${rest} />
  <//>`;
}

/** A count, with what the server takes if it is left empty. @param {Form & {name: keyof Fields, label: string, help?: string, usual?: string, max?: number}} props */
export const Count = ({ usual, max, ...props }) =>
  html`<${Input} ...${props} type="number" inputmode="numeric" min="0" max=${max} placeholder=${usual} />`;
