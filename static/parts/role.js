// What a person or a machine may do.

import { html } from "../vendor/preact.js";
import { currentSession } from "../core/api.js";
import { translator } from "../core/words.js";

/** @typedef {import("../core/types.js").Role} Role */

const t = translator({
  role: { en: "Role", zh: "角色", ru: "Роль" },
  viewer: { en: "viewer", zh: "查看者", ru: "наблюдатель" },
  publisher: { en: "publisher", zh: "发布者", ru: "издатель" },
  operator: { en: "operator", zh: "操作员", ru: "оператор" },
  admin: { en: "administrator", zh: "管理员", ru: "администратор" },
  reads: { en: "reads", zh: "只读", ru: "читает" },
  publishes: { en: "reads, uploads, releases", zh: "读取、上传、发布", ru: "читает, загружает, выпускает" },
  operates: { en: "reads, upgrades, rolls out", zh: "读取、升级、批量升级", ru: "читает, обновляет, развёртывает" },
  everything: { en: "everything", zh: "全部权限", ru: "всё" },
  needed: {
    en: "Only an administrator sees this. You are logged in as {name} ({role}).",
    zh: "仅管理员可查看此内容。你当前以 {name}（{role}）身份登录。",
    ru: "Это видит только администратор. Вы вошли как {name} ({role}).",
  },
});

/** @param {Role} role */
export const roleName = (role) => t(/** @type {any} */ (role));

/** @type {() => [Role, string][]} */
const roles = () => [
  ["viewer", t("reads")],
  ["publisher", t("publishes")],
  ["operator", t("operates")],
  ["admin", t("everything")],
];

/** @param {{role?: Role}} props the one that is chosen at first */
export const RoleField = ({ role = "viewer" }) => html`<label>${t("role")}
  <select name="role">
    ${roles().map(
      ([each, may]) => html`<option key=${each} value=${each} selected=${each === role}>${t(each)} – ${may}</option>`,
    )}
  </select>
</label>`;

/** In place of what others may not see. */
export const AdministratorNeeded = () =>
  html`<p class="empty">${t("needed", { name: currentSession().name ?? "", role: t(currentSession().role ?? "viewer") })}</p>`;
