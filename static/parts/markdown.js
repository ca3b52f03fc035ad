// Markdown as elements. HTML within it stays text, and nothing is loaded.

import { html } from "../vendor/preact.js";
import { lexer } from "../vendor/marked.js";

const ENTITIES = new Map(Object.entries({ amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0" }));

/** @param {string} text */
function decoded(text) {
  return text.replace(/&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|(\w+));/gi, (whole, decimal, hexadecimal, name) => {
    const code = decimal ? parseInt(decimal, 10) : parseInt(hexadecimal, 16);
    if (name) {
      return ENTITIES.get(name) ?? whole;
    }
    return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
  });
}

/** The address, if a link may lead there. @param {string} href */
function safe(href) {
  try {
    return ["http:", "https:", "mailto:"].includes(new URL(href).protocol) ? href : null;
  } catch {
    return null;
  }
}

/** @param {string} href @param {any} children */
function link(href, children) {
  const address = safe(href);
  return address ? html`<a href=${address} rel="noopener noreferrer" target="_blank">${children}</a>` : html`<span>${children}</span>`;
}

/** @param {any} token */
function heading({ depth, tokens }) {
  // The page has one heading of the first rank, sections the second.
  return html`<${`h${Math.min(6, depth + 2)}`}>${all(tokens)}<//>`;
}

/** @param {any} token */
function list({ ordered, start, items }) {
  const children = items.map((/** @type {any} */ item) => html`<li>${all(item.tokens)}</li>`);
  return ordered ? html`<ol start=${start}>${children}</ol>` : html`<ul>${children}</ul>`;
}

/** @param {any} token */
function table({ header, rows }) {
  return html`<div class="scroll"><table>
    <thead><tr>${header.map((/** @type {any} */ cell) => html`<th scope="col">${all(cell.tokens)}</th>`)}</tr></thead>
    <tbody>${rows.map(
      (/** @type {any[]} */ row) => html`<tr>${row.map((cell) => html`<td>${all(cell.tokens)}</td>`)}</tr>`,
    )}</tbody>
  </table></div>`;
}

/** @type {Record<string, (token: any) => any>} */
const ELEMENTS = {
  blockquote: ({ tokens }) => html`<blockquote>${all(tokens)}</blockquote>`,
  br: () => html`<br />`,
  checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
  code: ({ text }) => html`<pre tabindex="0"><code>${text}</code></pre>`,
  codespan: ({ text }) => html`<code>${text}</code>`,
  def: () => null,
  del: ({ tokens }) => html`<del>${all(tokens)}</del>`,
  em: ({ tokens }) => html`<em>${all(tokens)}</em>`,
  escape: ({ text }) => text,
  heading,
  hr: () => html`<hr />`,
  html: ({ text }) => text,
  image: ({ href, text }) => link(href, text || href),
  link: ({ href, tokens }) => link(href, all(tokens)),
  list,
  paragraph: ({ tokens }) => html`<p>${all(tokens)}</p>`,
  space: () => null,
  strong: ({ tokens }) => html`<strong>${all(tokens)}</strong>`,
  table,
  text: ({ tokens, text }) => (tokens ? all(tokens) : decoded(text)),
};

/** @param {any[]} tokens */
const all = (tokens) => tokens.map((token) => (ELEMENTS[token.type] ?? (() => token.raw))(token));

/** @param {{text: string}} props */
export const Markdown = ({ text }) => html`<div class="markdown">${all(lexer(text))}</div>`;
