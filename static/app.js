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

const t = translator({
  skip: { en: "Skip to the content", zh: "跳到内容", ru: "Перейти к содержимому" },
  navigation: { en: "Navigation", zh: "导航", ru: "Навигация" },
  overview: { en: "Overview", zh: "概览", ru: "Обзор" },
  firmware: { en: "Firmware", zh: "固件", ru: "Прошивки" },
  gateways: { en: "Gateways", zh: "网关", ru: "Шлюзы" },
  rollouts: { en: "Rollouts", zh: "批量升级", ru: "Развёртывания" },
  packages: { en: "Packages", zh: "软件包", ru: "Пакеты" },
  audit: { en: "Audit log", zh: "审计日志", ru: "Журнал аудита" },
  access: { en: "Tokens and keys", zh: "令牌与密钥", ru: "Токены и ключи" },
  settings: { en: "Settings", zh: "设置", ru: "Настройки" },
  reconnecting: {
    en: "The server is away; reconnecting…",
    zh: "服务器已断开，正在重连…",
    ru: "Сервер недоступен, подключаемся…",
  },
  open: {
    en: "This server is open: whoever reaches it may do everything.",
    zh: "此服务器处于开放状态：任何能访问它的人都可以执行一切操作。",
    ru: "Сервер открыт: всё может любой, кто до него доберётся.",
  },
  close: { en: "Close it", zh: "关闭开放访问", ru: "Закрыть" },
  logOut: { en: "Log out", zh: "退出登录", ru: "Выйти" },
  nowhere: { en: "There is no such page.", zh: "没有此页面。", ru: "Такой страницы нет." },
});

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
