// How upgrades went over time.

import { html, useMemo, useState } from "../../vendor/preact.js";
import { get } from "../../core/api.js";
import { percent } from "../../core/format.js";
import { translator } from "../../core/words.js";
import { Empty, Section, Shown } from "../../parts/common.js";
import { Chart } from "../../parts/chart.js";
import { useLive } from "../../parts/load.js";

const t = translator("overview/success");

const PAUSE_MS = 5000;
const HOURS = 48;
const INTERVALS = /** @type {const} */ (["day", "hour"]);

/** @param {{of: import("../../core/types.js").Timeline}} props */
function Rates({ of: { buckets } }) {
  const { times, series } = useMemo(() => {
    /** @param {"completed" | "failed"} name */
    const share = (name) => buckets.map((bucket) => (bucket.total === 0 ? null : bucket[name] / bucket.total));
    return {
      times: buckets.map(({ start }) => Date.parse(start) / 1000),
      series: [
        { name: t("completed"), values: share("completed"), color: "--chart-2" },
        { name: t("failed"), values: share("failed"), color: "--chart-5" },
      ],
    };
  }, [buckets, t("completed")]);
  if (buckets.every(({ total }) => total === 0)) {
    return html`<${Empty}>${t("none")}<//>`;
  }
  return html`<${Chart} label=${t("title")} times=${times} series=${series} format=${percent} range=${[0, 1]} />
    <p class="quiet">${t("ofAll")}</p>`;
}

export function SuccessRate() {
  const [interval, setInterval] = useState(/** @type {"day" | "hour"} */ ("day"));
  const load = (/** @type {AbortSignal} */ signal) => {
    const since = interval === "hour" ? new Date(Date.now() - HOURS * 3_600_000).toISOString() : undefined;
    return get("/api/ota/statistics/timeline", { interval, since }, signal);
  };
  const timeline = useLive(load, [interval], { kinds: ["task"] }, { pause: PAUSE_MS });
  const choice = html`<div class="row" role="group" aria-label=${t("by")}>
    ${INTERVALS.map(
      (each) => html`<button key=${each} type="button" class="chip" aria-pressed=${each === interval} onClick=${() => setInterval(each)}>${t(/** @type {any} */ (each))}</button>`,
    )}
  </div>`;
  return html`<${Section} title=${t("title")} actions=${choice}>
    <${Shown} of=${timeline}>${(/** @type {any} */ data) => html`<${Rates} of=${data} />`}<//>
  <//>`;
}
