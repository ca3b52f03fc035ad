// The admin page: its frame, and the screen that the address names.

import { html, render, useEffect, useState } from "./vendor/preact.js";
import { currentSession, logIn, logOut, whoAmI } from "./core/api.js";
import { link, place } from "./core/router.js";
import { watchConnection } from "./core/stream.js";
import "./core/theme.js";
import { onLanguage, translator } from "./core/words.js";
import { Loading, Problem } from "./parts/common.js";
import { Languages } from "./parts/language.js";
import { roleName } from "./parts/role.js";
import { attempt, Toasts } from "./parts/toast.js";

const t = translator("app");

/** @type {Record<string, {icon: string, load: () => Promise<{default: any}>}>} */
const SCREENS = {
  overview: { icon: "◎", load: () => import("./screens/overview.js") },
  firmware: { icon: "⬆", load: () => import("./screens/firmware.js") },
  gateways: { icon: "▤", load: () => import("./screens/gateways.js") },
  rollouts: { icon: "≋", load: () => import("./screens/rollouts.js") },
  packages: { icon: "❒", load: () => import("./screens/packages.js") },
  audit: { icon: "☰", load: () => import("./screens/audit.js") },
  access: { icon: "✦", load: () => import("./screens/access.js") },
  settings: { icon: "⚙", load: () => import("./screens/settings.js") },
};

function usePlace() {
  const [now, setNow] = useState(place);
  useEffect(() => {
    const moved = () => setNow(place());
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  return now;
}

/** A restart that is over soon is not worth a word. */
function Connection() {
  const [away, setAway] = useState(false);
  useEffect(() => {
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    const stop = watchConnection((connected) => {
      if (connected) {
        clearTimeout(timer);
        timer = undefined;
        setAway(false);
      } else {
        timer ??= setTimeout(() => setAway(true), 1500);
      }
    });
    return () => {
      stop();
      clearTimeout(timer);
    };
  }, []);
  return html`<p class="connection" role="status">${away && t("reconnecting")}</p>`;
}

/** @param {{at: string}} props */
function Navigation({ at }) {
  return html`<nav aria-label=${t("navigation")}>
    <a class="brand" href="#/">airlift</a>
    <ul>
      ${Object.entries(SCREENS).map(
        ([name, { icon }]) => html`<li key=${name}>
          <a href=${link(name === "overview" ? [] : [name])} aria-current=${name === at ? "page" : undefined}>
            <span aria-hidden="true">${icon}</span> ${t(/** @type {any} */ (name))}
          </a>
        </li>`,
      )}
    </ul>
    <${Foot} />
  </nav>`;
}

/** Who is here, and in which language. */
function Foot() {
  const { kind, name, role } = currentSession();
  return html`<div class="foot">
    ${role && html`<p class="who">${name}<span>${roleName(role)}</span></p>`}
    ${kind === "user" && html`<button type="button" class="small" onClick=${() => attempt(logOut)}>${t("logOut")}</button>`}
    <${Languages} />
  </div>`;
}

/** @param {{name: string, place: import("./core/router.js").Place}} props */
function ScreenOf({ name, place }) {
  const [screen, setScreen] = useState(/** @type {{name: string, component: any} | null} */ (null));
  const [error, setError] = useState(/** @type {Error | null} */ (null));
  const load = () => {
    setError(null);
    SCREENS[name].load().then(({ default: component }) => setScreen({ name, component }), setError);
  };
  useEffect(load, [name]);
  if (error) {
    return html`<${Problem} error=${error} retry=${load} />`;
  }
  return screen?.name === name ? html`<${screen.component} key=${place.path.join("/")} place=${place} />` : html`<${Loading} />`;
}

function App() {
  const [, again] = useState(0);
  const now = usePlace();
  useEffect(() => onLanguage(() => again((count) => count + 1)), []);
  const name = now.path[0] ?? "overview";
  return html`<a class="skip" href="#content" onClick=${skip}>${t("skip")}</a>
    <${Navigation} at=${name} />
    <main id="content" tabindex="-1">
      ${currentSession().open && html`<p class="notice">${t("open")} <a href=${link(["access", "users"])}>${t("close")}</a></p>`}
      ${Object.hasOwn(SCREENS, name)
        ? html`<${ScreenOf} name=${name} place=${now} />`
        : html`<h1>${t("nowhere")}</h1>`}
    </main>
    <${Connection} />
    <${Toasts} />`;
}

/** The address is the screen's; it does not change. @param {Event} event */
function skip(event) {
  event.preventDefault();
  document.getElementById("content")?.focus();
}

const root = /** @type {HTMLElement} */ (document.getElementById("app"));
render(html`<${Loading} />`, root);
try {
  if (await whoAmI()) {
    render(html`<${App} />`, root);
  } else {
    logIn();
  }
} catch (error) {
  render(html`<${Problem} error=${error} retry=${() => location.reload()} />`, root);
}
