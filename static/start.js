// The pages before the admin page: log in, first setup.

import { html, render, useEffect, useRef, useState } from "./vendor/preact.js";
import { change } from "./core/api.js";
import "./core/theme.js";
import { onLanguage, translator } from "./core/words.js";
import { Problem } from "./parts/common.js";
import { Languages } from "./parts/language.js";
import { NewPassword, newPassword } from "./parts/password.js";

const t = translator("start");

/** Where to go on to: a path of this server and of no other. */
function next() {
  const wanted = new URLSearchParams(location.search).get("next") ?? "/";
  try {
    const url = new URL(wanted, location.origin);
    const ours = wanted.startsWith("/") && url.origin === location.origin;
    return ours ? url.pathname + url.search + url.hash : "/";
  } catch {
    return "/";
  }
}

/**
 * A form that is the whole page; `submit` leaves for another.
 *
 * @param {{action: string, submit: (fields: Record<string, string>) => Promise<unknown>, children?: any}} props
 */
function Form({ action, submit, children }) {
  const [error, setError] = useState(/** @type {Error | null} */ (null));
  const [busy, setBusy] = useState(false);
  const onSubmit = async (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    const fields = new FormData(/** @type {HTMLFormElement} */ (event.currentTarget));
    setBusy(true);
    setError(null);
    try {
      await submit(/** @type {Record<string, string>} */ (Object.fromEntries(fields)));
    } catch (failure) {
      setError(/** @type {Error} */ (failure));
    } finally {
      setBusy(false);
    }
  };
  return html`<form class="fields" onSubmit=${onSubmit}>
    ${children}
    <${Problem} error=${error} />
    <button class="primary" disabled=${busy}>${action}</button>
  </form>`;
}

function Name() {
  const field = useRef(/** @type {HTMLInputElement | null} */ (null));
  useEffect(() => field.current?.focus(), []);
  return html`<label>${t("name")}<input ref=${field} name="name" autocomplete="username" required maxlength="100" /></label>`;
}

/** @param {{provider: string | null}} props */
function LogIn({ provider }) {
  const submit = async (/** @type {Record<string, string>} */ { name, password }) => {
    await change("POST", "/api/ota/login", { name, password });
    location.replace(next());
  };
  return html`<${Form} action=${t("logIn")} submit=${submit}>
      <${Name} />
      <label>${t("password")}<input name="password" type="password" autocomplete="current-password" required /></label>
    <//>
    ${provider && html`<p><a class="button" href=${provider}>${t("provider")}</a></p>`}`;
}

/** The secret of the address, which stays out of the history. */
function takeSecret() {
  const secret = location.hash.slice(1);
  history.replaceState(null, "", location.pathname);
  return secret;
}

function SetUp() {
  const [link, setLink] = useState(takeSecret);
  useEffect(() => {
    // Whoever opens the whole link after half of it stays on this page.
    const another = () => location.hash && setLink(takeSecret());
    addEventListener("hashchange", another);
    return () => removeEventListener("hashchange", another);
  }, []);
  const submit = async (/** @type {Record<string, string>} */ fields) => {
    await change("POST", "/api/ota/setup", { link, name: fields.name, password: newPassword(fields) });
    location.replace("/");
  };
  return html`<p>${t("first")}</p>
    ${!link && html`<${Problem} error=${new Error(t("notWhole"))} />`}
    <${Form} action=${t("make")} submit=${submit}>
      <${Name} />
      <${NewPassword} />
    <//>`;
}

/** @param {{provider: string | null}} props */
function Start({ provider }) {
  const [, again] = useState(0);
  useEffect(() => onLanguage(() => again((count) => count + 1)), []);
  const first = document.body.dataset.page === "setup";
  const title = first ? t("setUp") : t("logIn");
  useEffect(() => {
    document.title = `${title} – airlift`;
  }, [title]);
  return html`<h1><span class="brand">airlift</span> ${title}</h1>
    ${first ? html`<${SetUp} />` : html`<${LogIn} provider=${provider} />`}
    <${Languages} />`;
}

const root = /** @type {HTMLElement} */ (document.querySelector("main"));
const provider = root.querySelector("a")?.getAttribute("href") ?? null;
root.replaceChildren();
render(html`<${Start} provider=${provider} />`, root);
