// A new rollout: while it is typed, the server says who would get it.

import { html, useEffect, useState } from "../../vendor/preact.js";
import { change, get, may } from "../../core/api.js";
import { go, link } from "../../core/router.js";
import { translator } from "../../core/words.js";
import { Problem, Screen, Section, statusWord } from "../../parts/common.js";
import { useLive, useLoaded, useSettled } from "../../parts/load.js";
import { say } from "../../parts/toast.js";
import { Pace } from "./pace.js";
import { Brief, Preview } from "./preview.js";
import { fieldsFor, requestOf } from "./request.js";
import { Field, Input } from "./field.js";
import { Target } from "./target.js";
import { Waves } from "./waves.js";

const t = translator("rollouts/new");

/** @typedef {import("../../core/types.js").Firmware} Firmware */
/** @typedef {import("./request.js").Fields} Fields */

/** @param {AbortSignal} signal */
async function installable(signal) {
  const lists = ["released", "testing"].map((status) => get("/api/ota/firmware", { status, limit: 500 }, signal));
  return /** @type {Firmware[]} */ ((await Promise.all(lists)).flatMap(({ items }) => items));
}

/**
 * The firmware that was asked for, else the gateways' newest, else the first.
 *
 * @param {Firmware[]} firmwares
 * @param {Fields} fields
 */
function choice(firmwares, { deviceType, version }) {
  const ofType = firmwares.filter((each) => each.deviceType === (deviceType || "gateway"));
  return ofType.find((each) => each.version === version) ?? ofType[0] ?? (deviceType ? undefined : firmwares[0]);
}

/** @param {{loaded: Firmware[] | null, fields: Fields, set: (change: Partial<Fields>) => void}} props */
function What({ loaded, fields, set }) {
  const firmwares = loaded ?? [];
  const types = [...new Set(firmwares.map(({ deviceType }) => deviceType))].sort();
  const onType = (/** @type {any} */ event) => {
    const deviceType = event.target.value;
    set({ deviceType, version: choice(firmwares, { ...fields, deviceType })?.version ?? "" });
  };
  return html`<${Section} title=${t("what")}>
    ${loaded?.length === 0 && html`<p class="notice">${t("none")}</p>`}
    <div class="fields columns">
      <${Field} label=${t("deviceType")}>
        <select value=${fields.deviceType} onChange=${onType}>
          ${types.map((type) => html`<option key=${type} value=${type}>${type}</option>`)}
        </select>
      <//>
      <${Field} label=${t("version")}>
        <select value=${fields.version} onChange=${(/** @type {any} */ event) => set({ version: event.target.value })}>
          ${firmwares
            .filter(({ deviceType }) => deviceType === fields.deviceType)
            .map(({ version, status }) => html`<option key=${version} value=${version}>
              ${status === "released" ? version : `${version} (${statusWord(status)})`}</option>`)}
        </select>
      <//>
      <${Input} name="name" label=${t("name")} help=${t("nameHelp")} fields=${fields} set=${set} />
    </div>
  <//>`;
}

/**
 * What the server would do with the form as it stands, the same order of gateways as long as the form is open.
 *
 * @param {Fields} fields
 */
function useDryRun(fields) {
  const [order, setOrder] = useState(/** @type {number | undefined} */ (undefined));
  const [limit, setLimit] = useState(20);
  const request = requestOf(fields);
  const typed = JSON.stringify(request);
  const settled = useSettled(typed);
  const [answered, setAnswered] = useState("");
  const preview = useLoaded(async (signal) => {
    if (!request.version || !request.deviceType) {
      return null;
    }
    const dryRun = await change("POST", `/api/ota/rollouts/dry-run?limit=${limit}`, { seed: order, ...JSON.parse(settled) }, { signal });
    setOrder(dryRun.seed);
    setAnswered(settled);
    return dryRun;
  }, [settled, limit]);
  const current = answered === typed && !preview.error;
  return { preview, current, request: { ...request, seed: preview.data?.seed }, more: () => setLimit(500) };
}

/** @param {{wanted: Record<string, string>}} props */
export function NewRollout({ wanted }) {
  const [fields, setFields] = useState(() => fieldsFor(wanted));
  const [error, setError] = useState(/** @type {Error | null} */ (null));
  const [busy, setBusy] = useState(false);
  const set = (/** @type {Partial<Fields>} */ change) => setFields((before) => ({ ...before, ...change }));
  const firmwares = useLive(installable, [], { kinds: ["firmware"] });
  useEffect(() => {
    const chosen = choice(firmwares.data ?? [], fields);
    if (chosen) {
      set({ deviceType: chosen.deviceType, version: chosen.version });
    }
  }, [firmwares.data]);
  const { preview, current, request, more } = useDryRun(fields);
  const create = async (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      const { rolloutId } = await change("POST", "/api/ota/rollouts", request);
      say(t("created"));
      go(["rollouts", rolloutId]);
    } catch (failure) {
      setError(/** @type {Error} */ (failure));
      setBusy(false);
    }
  };
  const actions = html`<a class="button" href=${link(["rollouts"])}>${t("all")}</a>`;
  return html`<${Screen} title=${t("title")} actions=${actions}>
    <${Problem} error=${firmwares.error} retry=${firmwares.reload} />
    <form class="new-rollout" onSubmit=${create} noValidate>
      <div class="new-rollout-fields">
        <${What} loaded=${firmwares.data} fields=${fields} set=${set} />
        <${Target} fields=${fields} set=${set} />
        <${Waves} fields=${fields} set=${set} />
        <${Pace} fields=${fields} set=${set} />
      </div>
      <div class="new-rollout-preview">
        <${Preview} preview=${preview} current=${current} version=${fields.version} more=${more} />
        <${Problem} error=${error} />
        <div class="start">
          <${Brief} preview=${preview} version=${fields.version} />
          ${may("operate") && html`<button class="primary" disabled=${busy || !current}>${t("create")}</button>`}
        </div>
      </div>
    </form>
  <//>`;
}
