// Who did what, when, from where.

import { html, useEffect, useState } from "../vendor/preact.js";
import { address, may } from "../core/api.js";
import { go } from "../core/router.js";
import { translator } from "../core/words.js";
import { Empty, Screen, Section, Shown, Time } from "../parts/common.js";
import { More, useList } from "../parts/list.js";
import { fromLocal, toLocal } from "../parts/moment.js";
import { AdministratorNeeded } from "../parts/role.js";
import { subjectLink } from "./audit/subject.js";

/** @typedef {import("../core/types.js").AuditLine} AuditLine */

const t = translator("audit");

const ACTIONS = [
  ...["upload", "status", "release", "delete"].map((verb) => `firmware.${verb}`),
  ...["push", "release", "delete", "rollback"].map((verb) => `package.${verb}`),
  ...["upgrade.trigger", "task.cancel", "task.retry", "task.begin", "gateway.edit", "gateway.import"],
  ...["create", "pause", "resume", "cancel", "retry"].map((verb) => `rollout.${verb}`),
  ...["create", "ping", "retry_delivery", "delete"].map((verb) => `webhook.${verb}`),
  ...["token.create", "token.revoke", "provisioning_key.create", "provisioning_key.revoke"],
  ...["create", "update", "delete", "change_own_password"].map((verb) => `user.${verb}`),
  ...["log_in", "log_in_failed", "log_out"].map((verb) => `session.${verb}`),
  ...["create", "use", "use_failed"].map((verb) => `setup.${verb}`),
  ...["create", "rotate", "revoke", "claim"].map((verb) => `gateway_token.${verb}`),
  "access.refused",
];

/** What people do, most of it has an event of one of these kinds. */
const EVENTS = { kinds: ["task", "rollout", "gateway", "firmware", "package"] };

/** @param {Record<string, string>} query as the address has it */
const filterOf = ({ actor, action, subject, since, until }) => ({ actor, action, subject, since, until });

/** @param {{filter: Record<string, string>}} props */
function Filter({ filter }) {
  const [fields, setFields] = useState(filter);
  useEffect(() => setFields(filter), [JSON.stringify(filter)]);
  const submit = (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    go(["audit"], fields);
  };
  const text = (/** @type {string} */ name) => ({
    type: "search",
    value: fields[name] ?? "",
    onInput: (/** @type {any} */ event) => setFields({ ...fields, [name]: event.target.value }),
  });
  const moment = (/** @type {string} */ name) => ({
    type: "datetime-local",
    value: toLocal(fields[name]),
    onChange: (/** @type {any} */ event) => setFields({ ...fields, [name]: fromLocal(event.target.value) ?? "" }),
  });
  return html`<form class="filter" aria-label=${t("filter")} onSubmit=${submit}>
    <label>${t("who")}<input ...${text("actor")} /></label>
    <label>${t("what")}<input ...${text("action")} list="audit-actions" /></label>
    <datalist id="audit-actions">${ACTIONS.map((action) => html`<option key=${action} value=${action} />`)}</datalist>
    <label>${t("which")}<input ...${text("subject")} /></label>
    <label>${t("since")}<input ...${moment("since")} /></label>
    <label>${t("until")}<input ...${moment("until")} /></label>
    <div class="actions">
      <button class="primary">${t("show")}</button>
      <button type="button" onClick=${() => go(["audit"])}>${t("all")}</button>
    </div>
  </form>`;
}

/** @param {{line: AuditLine}} props */
function Actor({ line }) {
  const kind = t(/** @type {any} */ (line.actorKind));
  return line.actorName ? html`${line.actorName} <span class="quiet">${kind}</span>` : kind;
}

/** @param {{line: AuditLine}} props */
function Subject({ line }) {
  const to = subjectLink(line);
  return to ? html`<a href=${to}>${line.subject}</a>` : line.subject;
}

/** @param {{line: AuditLine}} props */
function Details({ line }) {
  if (Object.keys(line.detail).length === 0) {
    return null;
  }
  return html`<details>
    <summary aria-label=${t("detailsOf", { what: `${line.action} ${line.subject}` })}>${t("details")}</summary>
    <dl class="facts">${Object.entries(line.detail).map(
      ([name, value]) => html`<dt key=${name}>${name}</dt>
        <dd class="mono">${typeof value === "string" ? value : JSON.stringify(value)}</dd>`,
    )}</dl>
  </details>`;
}

/** @param {{lines: AuditLine[]}} props */
const Table = ({ lines }) => html`<div class="scroll"><table class="audit">
  <thead><tr>
    <th scope="col">${t("when")}</th><th scope="col">${t("who")}</th><th scope="col">${t("what")}</th>
    <th scope="col">${t("which")}</th><th scope="col">${t("from")}</th><th scope="col">${t("details")}</th>
  </tr></thead>
  <tbody>${lines.map(
    (line) => html`<tr key=${line.auditId}>
      <td class="when"><${Time} at=${line.createdAt} exact /></td>
      <td><${Actor} line=${line} /></td>
      <td><code>${line.action}</code></td>
      <td class="subject"><${Subject} line=${line} /></td>
      <td>${line.address ?? "–"}</td>
      <td><${Details} line=${line} /></td>
    </tr>`,
  )}</tbody>
</table></div>`;

/** @param {{filter: Record<string, string>}} props */
function Lines({ filter }) {
  const list = useList("/api/ota/audit", filter, EVENTS);
  const csv = html`<a class="button" href=${address("/api/ota/audit.csv", filter)} download>${t("csv")}</a>`;
  return html`<${Section} title=${t("done")} actions=${csv}>
    <${Filter} filter=${filter} />
    <${Shown} of=${list}>${(/** @type {AuditLine[]} */ lines) =>
      lines.length > 0 ? html`<${Table} lines=${lines} />` : html`<${Empty}>${t("none")}<//>`}<//>
    <${More} list=${list} />
  <//>`;
}

/** @param {{place: import("../core/router.js").Place}} props */
export default function Audit({ place }) {
  return html`<${Screen} title=${t("title")}>
    ${may("administer") ? html`<${Lines} filter=${filterOf(place.query)} />` : html`<${AdministratorNeeded} />`}
  <//>`;
}
