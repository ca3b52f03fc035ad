// What a person or a machine may do.

import { html } from "../vendor/preact.js";
import { currentSession } from "../core/api.js";
import { translator } from "../core/words.js";

/** @typedef {import("../core/types.js").Role} Role */

const t = translator("role");

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
