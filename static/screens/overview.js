// How the fleet stands, at a glance.

import { html } from "../vendor/preact.js";
import { get } from "../core/api.js";
import { number, percent } from "../core/format.js";
import { link } from "../core/router.js";
import { translator } from "../core/words.js";
import { Bar, Problem, Screen, Shown } from "../parts/common.js";
import { useLive } from "../parts/load.js";
import { Failures } from "./overview/failures.js";
import { RunningTasks } from "./overview/running.js";
import { FirstSteps } from "./overview/start.js";
import { SuccessRate } from "./overview/success.js";
import { Versions } from "./overview/versions.js";

const t = translator("overview");

const PAUSE_MS = 2000;
const WEEK_MS = 7 * 86_400_000;

/** @param {{name: string, value: number | undefined, note?: string, href?: string, children?: any}} props */
const Tile = ({ name, value, note, href, children }) => html`<div class="card tile" role="group" aria-label=${name}>
  <p class="quiet">${href ? html`<a href=${href}>${name}</a>` : name}</p>
  <p><b class="tile-value">${value === undefined ? "–" : number(value)}</b> <span class="quiet">${note}</span></p>
  ${children}
</div>`;

/** @param {{counts: any, statistics: import("../core/types.js").Statistics | null}} props */
function Tiles({ counts, statistics }) {
  const failedShare = statistics && statistics.total > 0 ? statistics.failed / statistics.total : 0;
  return html`<div class="tiles">
    <${Tile} name=${t("online")} value=${counts?.online} href=${link(["gateways"], { filter: "online:true" })}
        note=${counts && t("ofAll", { all: number(counts.total) })}>
      <${Bar} value=${counts?.online ?? 0} max=${Math.max(1, counts?.total ?? 1)} tone="good" label=${t("online")} />
    <//>
    <${Tile} name=${t("needUpgrade")} value=${counts?.needUpgrade} note=${counts?.total > 0 && counts.needUpgrade === 0 ? t("upToDate") : ""} />
    <${Tile} name=${t("running")} value=${statistics?.active} note=${statistics && t("weekTasks", { all: number(statistics.total) })} />
    <${Tile} name=${t("failed")} value=${statistics?.failed} note=${failedShare > 0 ? t("rate", { share: percent(failedShare) }) : ""} />
  </div>`;
}

/** @param {{counts: import("../parts/load.js").Loaded<any>, statistics: import("../parts/load.js").Loaded<any>}} props */
const Fleet = ({ counts, statistics }) => html`<${Tiles} counts=${counts.data} statistics=${statistics.data} />
  <${Shown} of=${counts}>${(/** @type {any} */ { deviceTypes }) => html`<${Versions} deviceTypes=${deviceTypes} />`}<//>
  <div class="cards">
    <div class="column">
      <${RunningTasks} active=${statistics.data?.active ?? null} />
      <${SuccessRate} />
    </div>
    <${Failures} statistics=${statistics} />
  </div>`;

export default function Overview() {
  const counts = useLive((signal) => get("/api/ota/statistics/gateways", {}, signal), [], { kinds: ["gateway", "firmware"] }, { pause: PAUSE_MS });
  const firmwares = useLive((signal) => get("/api/ota/firmware", {}, signal), [], { kinds: ["firmware"] }, { pause: PAUSE_MS });
  const week = (/** @type {AbortSignal} */ signal) =>
    get("/api/ota/statistics", { since: new Date(Date.now() - WEEK_MS).toISOString() }, signal);
  const statistics = useLive(week, [], { kinds: ["task"] }, { pause: PAUSE_MS });
  const begins = counts.data && firmwares.data && (counts.data.total === 0 || firmwares.data.items.length === 0);
  return html`<${Screen} title=${t("title")}>
    <${Problem} error=${firmwares.error} retry=${firmwares.reload} />
    ${begins && html`<${FirstSteps} firmwares=${firmwares.data.items} gateways=${counts.data.total} />`}
    ${counts.data?.total !== 0 && html`<${Fleet} counts=${counts} statistics=${statistics} />`}
  <//>`;
}
