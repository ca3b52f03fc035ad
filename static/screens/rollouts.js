// Rollouts: all of them, one of them, a new one.

import { html } from "../vendor/preact.js";
import { RolloutList } from "./rollouts/list.js";
import { NewRollout } from "./rollouts/new.js";
import { RolloutPage } from "./rollouts/rollout.js";

/** @param {{place: import("../core/router.js").Place}} props */
export default function Rollouts({ place: { path, query } }) {
  const [, rolloutId] = path;
  if (rolloutId === undefined) {
    return html`<${RolloutList} state=${query.state ?? ""} />`;
  }
  return rolloutId === "new"
    ? html`<${NewRollout} wanted=${query} />`
    : html`<${RolloutPage} rolloutId=${rolloutId} query=${query} />`;
}
