// Where the thing is that a line of the audit log is about.

import { link } from "../../core/router.js";

/** @typedef {import("../../core/types.js").AuditLine} AuditLine */

/**
 * The address of the subject's screen; null for what has none.
 *
 * @param {AuditLine} line
 */
export function subjectLink({ action, subject, detail }) {
  const [noun, verb] = action.split(".");
  const { gatewayId } = /** @type {{gatewayId?: string}} */ (detail);
  switch (noun) {
    case "firmware":
      return link(["firmware", ...subject.split("/")]);
    case "package":
      return link(["packages", subject.split("/")[0]]);
    case "rollout":
      return link(["rollouts", subject]);
    case "upgrade":
    case "gateway_token":
      return link(["gateways", subject]);
    case "gateway":
      return link(verb === "import" ? ["gateways"] : ["gateways", subject]);
    case "task":
      return gatewayId ? link(["gateways", gatewayId]) : null;
    case "webhook":
      return link(verb === "delete" ? ["settings", "webhooks"] : ["settings", "webhooks", subject]);
    case "token":
      return link(["access", "tokens"]);
    case "user":
      return link(["access", "users"]);
    case "provisioning_key":
      return link(["access", "provisioning"]);
    default:
      return null;
  }
}
