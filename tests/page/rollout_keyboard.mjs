// A rollout by keyboard alone: previewed while typed, started, paused, and not cancelled after all.
import assert from "node:assert/strict";

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

export default async ({ page, url }) => {
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
};
