// All firmwares, newest first, below the upload.

import { html, useState } from "../../vendor/preact.js";
import { may } from "../../core/api.js";
import { bytes } from "../../core/format.js";
import { link, setQuery } from "../../core/router.js";
import { translator } from "../../core/words.js";
import { Empty, Screen, Section, Shown, Time, statusWord } from "../../parts/common.js";
import { More, useList } from "../../parts/list.js";
import { useSettled } from "../../parts/load.js";
import { Signature, kindOf, word } from "./facts.js";
import { StatusOf, StepButtons } from "./status.js";
import { nameOf, newest, pathOf, useSteps } from "./steps.js";
import { Upload } from "./upload.js";

/** @typedef {import("../../core/types.js").Firmware} Firmware */

const t = translator("firmware/list");

const STATUSES = /** @type {const} */ (["draft", "testing", "released", "deprecated"]);

/** Device types seen since the page was opened. @type {Set<string>} */
const seen = new Set(["gateway"]);

/** @param {{query: Record<string, string>}} props */
export function List({ query }) {
  useSteps();
  const [filter, setFilter] = useState({ deviceType: query.deviceType ?? "", status: query.status ?? "" });
  const list = useList("/api/ota/firmware", useSettled(filter), { kinds: ["firmware"] });
  const narrow = (/** @type {Partial<typeof filter>} */ change) => {
    const wanted = { ...filter, ...change };
    setFilter(wanted);
    setQuery(wanted);
  };
  list.data?.forEach(({ deviceType }) => seen.add(deviceType));
  const deviceTypes = [...seen].sort();
  return html`<${Screen} title=${t("title")}>
    <datalist id="device-types">${deviceTypes.map((each) => html`<option value=${each}></option>`)}</datalist>
    ${may("publish") && html`<${Upload} deviceTypes=${deviceTypes} />`}
    <${Section} title=${t("versions")} actions=${html`<${Filter} filter=${filter} narrow=${narrow} />`}>
      <${Shown} of=${list}>${(/** @type {Firmware[]} */ items) => html`<${Table} items=${items} />`}<//>
      <${More} list=${list} />
    <//>
  <//>`;
}

/** @param {{filter: {deviceType: string, status: string}, narrow: (change: Record<string, string>) => void}} props */
function Filter({ filter, narrow }) {
  return html`<label class="row">${word("deviceType")}
      <input
        type="search"
        list="device-types"
        placeholder=${t("all")}
        value=${filter.deviceType}
        onInput=${(/** @type {any} */ event) => narrow({ deviceType: event.target.value.trim() })}
      />
    </label>
    <label class="row">${word("status")}
      <select value=${filter.status} onChange=${(/** @type {any} */ event) => narrow({ status: event.target.value })}>
        <option value="">${t("all")}</option>
        ${STATUSES.map((each) => html`<option key=${each} value=${each} selected=${each === filter.status}>${statusWord(each)}</option>`)}
      </select>
    </label>`;
}

/** @param {{items: Firmware[]}} props */
function Table({ items }) {
  const [chosen, setChosen] = useState(/** @type {string[]} */ ([]));
  if (items.length === 0) {
    return html`<${Empty}>${t("none")}<//>`;
  }
  const choose = (/** @type {string} */ key, /** @type {boolean} */ on) =>
    setChosen([...chosen.filter((each) => each !== key), ...(on ? [key] : [])].slice(-2));
  const [a, b] = chosen;
  return html`<div class="scroll" tabindex="0">
      <table class="firmwares">
        <thead>
          <tr>
            <th scope="col">${t("compare")}</th>
            <th scope="col">${word("version")}</th>
            <th scope="col">${word("deviceType")}</th>
            <th scope="col">${word("status")}</th>
            <th scope="col" class="number">${word("size")}</th>
            <th scope="col">${word("signature")}</th>
            <th scope="col">${word("created")}</th>
            ${may("publish") && html`<th scope="col">${t("step")}</th>`}
          </tr>
        </thead>
        <tbody>
          ${items.map((each) => html`<${Row} key=${nameOf(each)} firmware=${newest(each)} chosen=${chosen} choose=${choose} />`)}
        </tbody>
      </table>
    </div>
    <p class="row">
      ${b
        ? html`<a class="button" href=${link(["firmware", "compare"], { a, b })}>${t("compare")}</a>`
        : html`<span class="quiet">${t("compare_help")}</span>`}
    </p>`;
}

/** @param {{firmware: Firmware, chosen: string[], choose: (key: string, on: boolean) => void}} props */
function Row({ firmware, chosen, choose }) {
  const key = `${firmware.deviceType}/${firmware.version}`;
  return html`<tr>
    <td>
      <label class="tick"><input
        type="checkbox"
        aria-label=${t("select", { name: nameOf(firmware) })}
        checked=${chosen.includes(key)}
        onChange=${(/** @type {any} */ event) => choose(key, event.target.checked)}
      /></label>
    </td>
    <th scope="row"><a href=${link(pathOf(firmware))}>${firmware.version}</a></th>
    <td>${firmware.deviceType}</td>
    <td><${StatusOf} firmware=${firmware} /></td>
    <td class="number">${bytes(firmware.fileSize)}${firmware.kind && html`<br /><span class="quiet">${kindOf(firmware.kind)}</span>`}</td>
    <td><${Signature} of=${firmware} /></td>
    <td><${Time} at=${firmware.createdAt} /></td>
    ${may("publish") && html`<td><div class="row"><${StepButtons} firmware=${firmware} small /></div></td>`}
  </tr>`;
}
