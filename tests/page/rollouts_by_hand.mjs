// Rollouts and packages by keyboard alone, and as axe-core sees them in both themes.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";

/** Presses Tab until the focus is there. */
async function tabTo(page, locator) {
  for (let presses = 0; presses < 120; presses += 1) {
    await page.keyboard.press("Tab");
    if (await locator.evaluate((element) => element === document.activeElement)) {
      const outline = await locator.evaluate((element) => getComputedStyle(element).outlineStyle);
      assert.equal(outline, "solid", "the focus is seen");
      return;
    }
  }
  assert.fail(`Tab does not reach ${locator}`);
}

async function byKeyboard(page, url) {
  await page.goto(`${url}/#/rollouts`);
  const makes = page.getByRole("link", { name: "New rollout" });
  await makes.waitFor();
  await tabTo(page, makes);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "New rollout", level: 1 }).and(page.locator(":focus")).waitFor();

  const version = page.getByLabel("Version", { exact: true });
  await version.getByRole("option").first().waitFor({ state: "attached" });
  await tabTo(page, page.getByLabel("Name"));
  await page.keyboard.type("By hand");
  await tabTo(page, page.getByLabel("Filter"));
  await page.keyboard.type("online:false");
  const preview = page.getByRole("region", { name: "Who gets it" });
  await preview.getByText("2 gateways get 1.0.2").waitFor();
  await tabTo(page, page.getByRole("button", { name: "Add a tag" }));
  await page.keyboard.press("Enter");
  await tabTo(page, page.getByLabel("Tag 1, key"));
  await page.keyboard.type("site");
  await page.keyboard.press("Tab");
  await page.keyboard.type("lab");
  await preview.getByText("1 gateway gets 1.0.2").waitFor();
  const start = page.getByRole("button", { name: "Start the rollout" });
  await start.and(page.locator(":enabled")).waitFor();
  await tabTo(page, start);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "By hand · 1.0.2", level: 1 }).and(page.locator(":focus")).waitFor();

  await tabTo(page, page.getByRole("button", { name: "Pause" }));
  await page.keyboard.press("Enter");
  const progress = page.getByRole("region", { name: "Progress" });
  await progress.getByText("paused", { exact: true }).waitFor();
  const cancel = page.getByRole("button", { name: "Cancel the rollout" });
  await tabTo(page, cancel);
  await page.keyboard.press("Enter");
  const dialog = page.getByRole("dialog", { name: "Cancel this rollout for good?" });
  await dialog.waitFor();
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "hidden" });
  await cancel.and(page.locator(":focus")).waitFor();
}

async function isAccessible(page, name) {
  const serious = await page.evaluate(async () => {
    const { violations } = await globalThis.axe.run(document, { resultTypes: ["violations"] });
    return violations
      .filter(({ impact }) => impact === "serious" || impact === "critical")
      .map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join("; ")}`);
  });
  assert.deepEqual(serious, [], name);
}

export default async ({ page, url, input, screenshot }) => {
  await byKeyboard(page, url);
  const axe = await readFile(new URL("node_modules/axe-core/axe.min.js", import.meta.url), "utf8");
  await page.addInitScript({ content: axe });
  await page.reload();
  const screens = [
    ["rollouts", "/#/rollouts", () => page.getByRole("link", { name: "By hand" })],
    ["rollout_new", "/#/rollouts/new", () => page.locator(".included")],
    ["rollout_halted", `/#/rollouts/${input.halted}`, () => page.getByText("BATTERY_LOW").first()],
    ["packages", "/#/packages", () => page.getByRole("link", { name: "1.10.0" })],
    ["package", "/#/packages/app", () => page.getByText("SHA-256").first()],
  ];
  for (const theme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme: theme });
    for (const [name, place, shown] of screens) {
      await page.goto(url + place);
      await shown().waitFor();
      await isAccessible(page, `${name}, ${theme}`);
      await screenshot(`${name}_${theme}`);
    }
  }
};
