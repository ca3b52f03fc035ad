import assert from "node:assert/strict";
import { distinct, watch } from "./watch.mjs";

const STATES = ["pending", "downloading", "verifying", "installing", "completed", "confirmed"];

export default async ({ page, url, say, screenshot, input }) => {
  const { gatewayId, old, new: wanted } = input;
  await page.goto(`${url}/#/gateways/${gatewayId}`);
  await page.getByRole("heading", { name: gatewayId, level: 1 }).waitFor();
  const facts = page.getByRole("region", { name: "Gateway", exact: true });
  await facts.getByText(old, { exact: true }).waitFor();
  await page.getByText("It has never been upgraded.").waitFor();
  await page.getByRole("region", { name: "Why" }).getByText("not targeted").waitFor();
  const watched = await watch(page, ["h1", "#facts dl", "#why .why"]);

  await page.getByRole("button", { name: "Upgrade…" }).click();
  const dialog = page.getByRole("dialog", { name: `Upgrade ${gatewayId}` });
  assert.equal(await dialog.getByRole("combobox", { name: "Version" }).inputValue(), wanted);
  await dialog.getByRole("button", { name: "Upgrade", exact: true }).click();
  await dialog.waitFor({ state: "detached" });

  const upgrade = page.getByRole("region", { name: "Upgrade", exact: true });
  const bar = upgrade.getByRole("progressbar", { name: `Upgrade to ${wanted}` });
  await bar.waitFor();
  await upgrade.getByRole("button", { name: "Cancel the upgrade" }).waitFor();
  await page.waitForFunction(() => document.querySelector("#upgrade progress").value >= 40);
  await screenshot("gateway-upgrade");
  await upgrade.getByRole("status").getByText(`${old} → ${wanted}: confirmed`).waitFor();
  assert.equal(await bar.getAttribute("value"), "100");
  await facts.getByText(old, { exact: true }).waitFor({ state: "detached" });
  await facts.getByText(wanted, { exact: true }).first().waitFor();
  await page.getByRole("region", { name: "Why" }).getByText("up to date", { exact: true }).waitFor();
  assert.equal(await upgrade.getByRole("button").count(), 0, "nothing to cancel or to try again");

  const { bar: moves, gone } = await watched();
  say(moves.map(({ state, value }) => `${state} ${value}`).join("\n"));
  assert.deepEqual(gone, [], "what was shown stays");
  const values = distinct(moves.map(({ value }) => value));
  assert.ok(values.length >= 6, `the bar moved: ${values}`);
  assert.deepEqual(values, values.toSorted((one, other) => one - other), "it never falls");
  const states = distinct(moves.map(({ state }) => state.split(": ")[1]));
  assert.deepEqual(states, STATES.filter((state) => states.includes(state)), "each state once, in order");
  assert.ok(states.includes("downloading") && states.at(-1) === "confirmed", `${states}`);
  assert.ok(states.includes("verifying") || states.includes("installing"), `${states}`);
  await assertNobodyAsked(page, moves);

  const tasks = page.getByRole("region", { name: "Tasks" });
  await tasks.getByText(`${old} → ${wanted}`).click();
  const steps = tasks.getByRole("listitem");
  await steps.filter({ hasText: "confirmed" }).waitFor();
  assert.ok((await steps.count()) >= values.length, "the timeline has each step");
};

/** While the bar moved by events, the page asked for no task. */
async function assertNobodyAsked(page, moves) {
  const loading = moves.filter(({ state }) => state.endsWith("downloading"));
  const [from, to] = [loading.at(-5).at, loading.at(-1).at];
  const asked = await page.evaluate(
    ([from, to]) =>
      performance
        .getEntriesByType("resource")
        .filter(({ name, startTime }) => /\/api\/ota\/tasks?\b/.test(name) && startTime > from && startTime < to)
        .map(({ name }) => name),
    [from, to],
  );
  assert.deepEqual(asked, []);
}
