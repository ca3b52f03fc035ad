import assert from "node:assert/strict";
import { distinct, watch } from "./watch.mjs";

const AWAY = "The server is away; reconnecting…";

export default async ({ page, url, say, ask, screenshot, input }) => {
  const { gatewayId, old, new: wanted } = input;
  await page.goto(`${url}/#/gateways/${gatewayId}`);
  const facts = page.getByRole("region", { name: "Gateway", exact: true });
  await facts.getByText(old, { exact: true }).waitFor();
  await page.getByRole("region", { name: "Why" }).getByText("not targeted").waitFor();
  await page.getByRole("button", { name: "Upgrade…" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Upgrade", exact: true }).click();
  const upgrade = page.getByRole("region", { name: "Upgrade", exact: true });
  await upgrade.getByRole("progressbar").waitFor();
  const watched = await watch(page, ["h1", ".gateway-brief", "#facts dl", "#why .why", "#upgrade .upgrade-steps", "#tasks summary"]);

  await page.waitForFunction(() => document.querySelector("#upgrade progress").value >= 20);
  await ask("kill and start again");
  const { bar: before } = await watched();
  const reached = before.at(-1).value;
  say(`killed at ${reached} %`);
  await page.waitForFunction((reached) => document.querySelector("#upgrade progress").value > reached, reached);

  await ask("kill");
  await page.getByText(AWAY).waitFor();
  await screenshot("gateway-reconnecting");
  await page.waitForTimeout(3000);
  await facts.getByText(old, { exact: true }).waitFor();
  await ask("start and tag");
  await facts.getByText("back again").waitFor();
  await page.getByText(AWAY).waitFor({ state: "detached" });

  await upgrade.getByRole("status").getByText(`${old} → ${wanted}: confirmed`).waitFor({ timeout: 120_000 });
  await facts.getByText(old, { exact: true }).waitFor({ state: "detached" });
  assert.equal(await page.getByRole("alert").count(), 0, "nothing is left of the failures");
  const { bar, gone, looks } = await watched();
  say(`${looks} looks; ${bar.map(({ value }) => value).join(" ")}`);
  assert.ok(looks > 100, `${looks}`);
  assert.deepEqual(distinct(gone), [], "what was shown stays");
  const values = bar.map(({ value }) => value);
  assert.deepEqual(values, values.toSorted((one, other) => one - other), "the bar never falls");
};
