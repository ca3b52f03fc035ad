// Rollouts and packages on a phone, in each language: nothing is wider than it, and fingers find what they press.
import assert from "node:assert/strict";

/** What is wider than the page, and what is too small for a finger. */
async function fits(page, name) {
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.equal(wide, 0, `${name} is wider than a phone`);
  const small = await page.evaluate(() =>
    [...document.querySelectorAll("main :is(button, select, summary, textarea, .button, input:not([type=checkbox]))")]
      .filter((element) => element.checkVisibility() && element.getBoundingClientRect().height < 44)
      .map((element) => element.outerHTML.slice(0, 120)),
  );
  assert.deepEqual(small, [], `${name} has what is too small for a finger`);
}

export default async ({ page, url, input }) => {
  const screens = [
    ["rollouts", "/#/rollouts", () => page.locator("main table a").first()],
    ["rollout_new", "/#/rollouts/new", () => page.locator(".included")],
    ["rollout", `/#/rollouts/${input.halted}`, () => page.getByText("BATTERY_LOW").first()],
    ["packages", "/#/packages", () => page.getByRole("link", { name: "1.10.0" })],
    ["package", "/#/packages/app", () => page.getByText("SHA-256").first()],
  ];
  for (const language of ["ru", "zh", "en"]) {
    await page.goto(`${url}/#/settings`);
    await page.locator("select").first().selectOption(language);
    for (const [name, place, shown] of screens) {
      await page.goto(url + place);
      await shown().waitFor();
      const folded = page.locator("main details:not([open]) > summary");
      while ((await folded.count()) > 0) {
        await folded.first().tap();
      }
      await fits(page, `${name}, ${language}`);
    }
  }
  await page.goto(`${url}/#/rollouts/new`);
  const brief = page.locator(".start").getByText("6 gateways get 1.0.2");
  await brief.waitFor();
  const filter = page.getByLabel("Filter");
  await filter.tap();
  await filter.fill("id:WEAK*");
  const answer = page.locator(".start").getByText("4 gateways get 1.0.2");
  await answer.waitFor();
  const [field, said] = [await filter.boundingBox(), await answer.boundingBox()];
  assert.ok(field.y >= 0 && said.y + said.height <= 844, "the answer is in sight of what is typed");
  await page.getByRole("button", { name: "Start the rollout" }).tap();
  await page.getByRole("heading", { name: "1.0.2", level: 1 }).waitFor();
};
