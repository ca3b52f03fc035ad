// Small components that all screens use.

import { html, useEffect, useRef, useState } from "../vendor/preact.js";
import { ago, time } from "../core/format.js";
import { translator } from "../core/words.js";

const t = translator({
  loading: { en: "Loading…", zh: "加载中…", ru: "Загрузка…" },
  retry: { en: "Try again", zh: "重试", ru: "Повторить" },
  copy: { en: "Copy", zh: "复制", ru: "Копировать" },
  copied: { en: "Copied", zh: "已复制", ru: "Скопировано" },
  draft: { en: "draft", zh: "草稿", ru: "черновик" },
  testing: { en: "testing", zh: "测试中", ru: "тестирование" },
  released: { en: "released", zh: "已发布", ru: "выпущена" },
  deprecated: { en: "deprecated", zh: "已弃用", ru: "устарела" },
  pending: { en: "pending", zh: "等待中", ru: "ожидает" },
  downloading: { en: "downloading", zh: "下载中", ru: "загрузка" },
  verifying: { en: "verifying", zh: "校验中", ru: "проверка" },
  installing: { en: "installing", zh: "安装中", ru: "установка" },
  completed: { en: "completed", zh: "已完成", ru: "завершено" },
  confirmed: { en: "confirmed", zh: "已确认", ru: "подтверждено" },
  failed: { en: "failed", zh: "失败", ru: "ошибка" },
  cancelled: { en: "cancelled", zh: "已取消", ru: "отменено" },
  skipped: { en: "skipped", zh: "已跳过", ru: "пропущено" },
  waiting: { en: "waiting", zh: "等待中", ru: "ожидает" },
  good: { en: "good", zh: "有效", ru: "действует" },
  expired: { en: "expired", zh: "已过期", ru: "истёк" },
  revoked: { en: "revoked", zh: "已吊销", ru: "отозван" },
  used_up: { en: "used up", zh: "已用完", ru: "исчерпан" },
  disabled: { en: "disabled", zh: "已禁用", ru: "отключён" },
  enabled: { en: "active", zh: "启用", ru: "активен" },
  delivered: { en: "delivered", zh: "已送达", ru: "доставлено" },
  dead: { en: "given up", zh: "已放弃", ru: "не доставлено" },
  active: { en: "updating", zh: "升级中", ru: "обновляется" },
  scheduled: { en: "scheduled", zh: "已计划", ru: "запланирована" },
  running: { en: "running", zh: "进行中", ru: "идёт" },
  paused: { en: "paused", zh: "已暂停", ru: "приостановлена" },
  halted: { en: "halted", zh: "已中止", ru: "остановлена" },
  online: { en: "online", zh: "在线", ru: "в сети" },
  offline: { en: "offline", zh: "离线", ru: "не в сети" },
});

/**
 * A screen: its heading takes the focus, so that the keyboard and a screen reader begin there.
 *
 * @param {{title: string, actions?: any, children?: any}} props
 */
export function Screen({ title, actions, children }) {
  const heading = useRef(/** @type {HTMLHeadingElement | null} */ (null));
  useEffect(() => {
    document.title = `${title} – airlift`;
  }, [title]);
  useEffect(() => heading.current?.focus({ preventScroll: true }), []);
  return html`<header class="screen-head">
      <h1 ref=${heading} tabindex="-1">${title}</h1>
      <div class="actions">${actions}</div>
    </header>
    ${children}`;
}

/**
 * @param {{title: string, actions?: any, children?: any, id?: string}} props
 */
export function Section({ title, actions, children, id }) {
  return html`<section class="card" aria-label=${title} id=${id}>
    <header class="card-head"><h2>${title}</h2><div class="actions">${actions}</div></header>
    ${children}
  </section>`;
}

/**
 * What went wrong, in the server's words.
 *
 * @param {{error: Error | null, retry?: () => void}} props
 */
export function Problem({ error, retry }) {
  if (!error) {
    return null;
  }
  return html`<div class="problem" role="alert">
    <p>${error.message}</p>
    ${retry && html`<button type="button" onClick=${retry}>${t("retry")}</button>`}
  </div>`;
}

/**
 * Shows what was loaded; before the first time, that it is on its way.
 *
 * @param {{of: import("./load.js").Loaded<any>, children: (data: any) => any}} props
 */
export function Shown({ of: loaded, children }) {
  return html`<${Problem} error=${loaded.error} retry=${loaded.reload} />
    ${loaded.data !== null ? children(loaded.data) : !loaded.error && html`<${Loading} />`}`;
}

export function Loading() {
  const [late, setLate] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setLate(true), 300);
    return () => clearTimeout(timer);
  }, []);
  return late ? html`<p class="quiet" role="status">${t("loading")}</p>` : null;
}

/** @param {{children?: any}} props */
export const Empty = ({ children }) => html`<p class="empty">${children}</p>`;

/** @param {string} status */
export const statusWord = (status) => t(/** @type {any} */ (status));

/**
 * A status by word and colour.
 *
 * @param {{of: string}} props
 */
export const Status = ({ of: status }) =>
  html`<span class="status" data-status=${status}>${statusWord(status)}</span>`;

/** A task that is proven is more than completed. @param {import("../core/types.js").Task} task */
export const taskStatus = (task) => (task.confirmedAt ? "confirmed" : task.status);

/**
 * @param {{value: number, max?: number, label: string, tone?: string}} props
 */
export const Bar = ({ value, max = 100, label, tone }) =>
  html`<progress class="bar" data-tone=${tone} value=${value} max=${max} aria-label=${label}></progress>`;

/**
 * A time as people say it, with the exact one at hand.
 *
 * @param {{at: string | null | undefined, exact?: boolean}} props
 */
export function Time({ at, exact }) {
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => tick((count) => count + 1), 10_000);
    return () => clearInterval(timer);
  }, []);
  return html`<time datetime=${at} title=${time(at)}>${exact ? time(at) : ago(at)}</time>`;
}

/**
 * A text for the clipboard.
 *
 * @param {{text: string, label?: string}} props
 */
export function Copy({ text, label }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    await writeClipboard(text);
    setDone(true);
    setTimeout(() => setDone(false), 2000);
  };
  return html`<button type="button" class="small" onClick=${copy} aria-label=${label ? `${t("copy")}: ${label}` : undefined}>
    ${done ? t("copied") : t("copy")}
  </button>`;
}

/** @param {string} text */
async function writeClipboard(text) {
  if (navigator.clipboard) {
    return navigator.clipboard.writeText(text);
  }
  // Over plain HTTP there is no other way.
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}
