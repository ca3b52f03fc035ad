// All gateways in one table, or the page of one.

import { html, useCallback, useEffect, useState } from "../vendor/preact.js";
import { address, get, may } from "../core/api.js";
import { number } from "../core/format.js";
import { setQuery } from "../core/router.js";
import { translator } from "../core/words.js";
import { Empty, Problem, Screen } from "../parts/common.js";
import { useLive, useSettled } from "../parts/load.js";
import { Gateway } from "./gateway.js";
import { Filter } from "./gateways/filter.js";
import { Table } from "./gateways/table.js";
import { ImportTags } from "./gateways/tags.js";

const t = translator("gateways");

const COUNTS_PAUSE_MS = 5000;

/** @param {{filter: string, onImport: () => void}} props */
const Actions = ({ filter, onImport }) =>
  html`<a class="button" href=${address("/api/ota/gateways.csv", { filter })} download>${t("exportCsv")}</a>
    ${may("operate") && html`<button type="button" onClick=${onImport}>${t("importTags")}</button>`}`;

/** @param {{place: import("../core/router.js").Place}} props */
function Fleet({ place }) {
  const [typed, setTyped] = useState(place.query.filter ?? "");
  const [state, setState] = useState({ total: /** @type {number | null} */ (null), error: /** @type {any} */ (null) });
  const [importing, setImporting] = useState(false);
  const [version, setVersion] = useState(0);
  const filter = useSettled(typed).trim();
  useEffect(() => setTyped(place.query.filter ?? ""), [place]);
  useEffect(() => setQuery({ filter }), [filter]);
  const counts = useLive(
    (signal) => get("/api/ota/statistics/gateways", {}, signal),
    [],
    { kinds: ["gateway", "firmware"] },
    { pause: COUNTS_PAUSE_MS },
  );
  const again = useCallback(() => setVersion((count) => count + 1), []);
  const { total, error } = state;
  const wrong = error?.code === "invalid_filter" ? error : null;
  return html`<${Screen} title=${t("title")} actions=${html`<${Actions} filter=${filter} onImport=${() => setImporting(true)} />`}>
    <${Filter} filter=${typed} counts=${counts.data} error=${wrong} onFilter=${setTyped} />
    <p class="quiet" role="status">${total !== null && !error && t("total", { count: total, all: number(total) })}</p>
    <${Problem} error=${wrong ? null : error} retry=${again} />
    ${total === 0 && !error && html`<${Empty}>${filter ? t("none") : t("nobody")}<//>`}
    <div class="fleet-box" hidden=${total === 0 || (error && total === null)}>
      <${Table} filter=${filter} label=${t("title")} version=${version} onState=${setState} />
    </div>
    ${importing && html`<${ImportTags} onClose=${() => setImporting(false)} onDone=${again} />`}
  <//>`;
}

/** @param {{place: import("../core/router.js").Place}} props */
export default function Gateways({ place }) {
  const [, gatewayId] = place.path;
  return gatewayId ? html`<${Gateway} gatewayId=${gatewayId} />` : html`<${Fleet} place=${place} />`;
}
