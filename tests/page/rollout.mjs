// A rollout from its form to its end: it halts when gateways fail, and goes on when they are charged.
import assert from "node:assert/strict";

const GATEWAYS = 20;

/** What an element says over time, each thing once. */
async function record(locator) {
  await locator.evaluate((element) => {
    const said = [element.innerText];
    new MutationObserver(() => {
      if (said.at(-1) !== element.innerText) {
        said.push(element.innerText);
      }
    }).observe(element, { subtree: true, childList: true, characterData: true });
    element.said = said;
  });
  return () => locator.evaluate((element) => element.said);
}

/** While the older question is under way, the reader types on. */
async function asksOnlyForWhatIsTyped(page) {
  const preview = page.getByRole("region", { name: "Who gets it" });
  const aborted = [];
  page.on("requestfailed", (request) => {
    if (request.url().includes("/dry-run")) {
      aborted.push([JSON.parse(request.postData()).target.filter, request.failure()?.errorText]);
    }
  });
  let hold = () => {};
  const held = new Promise((resolve) => {
    hold = resolve;
  });
  await page.route("**/rollouts/dry-run*", async (route) => {
    if (JSON.parse(route.request().postData() ?? "{}").target?.filter === "id:SIM*") {
      await held;
    }
    await route.continue().catch(() => {});
  });
  const older = page.waitForRequest((request) => request.url().includes("/dry-run") && /id:SIM\*/.test(request.postData() ?? ""));
  await page.getByLabel("Filter").fill("id:SIM*");
  await older;
  await page.getByLabel("Filter").fill("id:WEAK*");
  await preview.getByText("3 gateways get 1.0.2").waitFor();
  hold();
  assert.deepEqual(aborted, [["id:SIM*", "net::ERR_ABORTED"]]);
  await page.unroute("**/rollouts/dry-run*");
}

/** The gateways that a table gives to a wave. */
async function ofWave(table, wave) {
  const rows = await table.getByRole("row").all();
  const found = [];
  for (const row of rows) {
    const cells = await row.getByRole("cell").allInnerTexts();
    if (cells.includes(String(wave))) {
      found.push(cells[0]);
    }
  }
  return found.sort();
}

async function fillIn(page, seed) {
  const preview = page.getByRole("region", { name: "Who gets it" });
  await preview.getByText(`${GATEWAYS} gateways get 1.0.2`).waitFor();
  const start = page.getByRole("button", { name: "Start the rollout" });

  await asksOnlyForWhatIsTyped(page);
  await page.getByLabel("Filter").fill("site");
  await preview.getByRole("alert").getByText("`site` is not a term of a filter: write tag:site=lab").waitFor();
  assert.ok(await start.isDisabled());
  await page.getByLabel("Filter").fill("");
  await page.getByLabel("Version", { exact: true }).selectOption("1.0.1");
  await preview.getByText("0 gateways get 1.0.1").waitFor();
  await preview.getByText(`${GATEWAYS} of the target do not:`).waitFor();
  await preview.getByRole("listitem").filter({ hasText: "already" }).waitFor();
  await page.getByLabel("Version", { exact: true }).selectOption("1.0.2");

  await page.getByRole("button", { name: "Remove wave 3" }).click();
  await page.getByLabel("Wave 1, percent").fill("50");
  await preview.getByText("comes after the one of").waitFor();
  await page.getByLabel("Wave 2, percent").fill("100");
  await page.getByLabel("Name").fill("Spring");
  await page.getByLabel("Gateways at the same time").fill("2");
  await page.getByText("When, how fast, and the rest").click();
  await page.getByLabel("Spread of the beginnings, seconds").fill("0");
  await page.getByLabel("Starts").fill("123456-01-01T00:00");
  await preview.getByRole("alert").waitFor();
  await page.getByLabel("Starts").fill("");
  await page.getByLabel("Seed of the order").fill(String(seed));
  await preview.getByRole("img", { name: "Waves: Wave 1 – 10, Wave 2 – 10" }).waitFor();
  await start.and(page.locator(":enabled")).waitFor();
  const previewed = await ofWave(preview.getByRole("table"), 1);
  assert.equal(previewed.length, 10);
  assert.ok(previewed.some((id) => id.startsWith("WEAK")), previewed.join());
  await start.click();
  return previewed;
}

async function halts(page) {
  const progress = page.getByRole("region", { name: "Progress" });
  const done = progress.getByRole("status");
  await done.waitFor();
  const said = await record(done);
  const filled = await record(progress.getByRole("list").first());
  const alert = progress.getByRole("alert");
  await alert.getByText("Halted: nothing more is sent.").waitFor();
  await alert.getByText(/wave 1: \d of 10 failed, more than 10 %/).waitFor();
  return { said: await said(), filled: await filled() };
}

async function showsTheCause(page) {
  const failures = page.getByRole("region", { name: "Failures by cause" });
  const cause = failures.getByRole("group").filter({ hasText: "BATTERY_LOW" });
  const links = cause.getByRole("link");
  await links.first().waitFor();
  const failed = await links.allInnerTexts();
  assert.ok(failed.length > 0 && failed.every((id) => id.startsWith("WEAK-")), failed.join());
  await cause.getByText("the battery is at 12 %").first().waitFor();
  const [gatewayId] = failed;
  await links.first().click();
  await page.getByRole("heading", { name: gatewayId, level: 1 }).waitFor();
  assert.ok(page.url().endsWith(`#/gateways/${gatewayId}`), page.url());
  await page.goBack();
  await page.getByRole("heading", { name: "Spring · 1.0.2", level: 1 }).waitFor();
}

/** Nothing happens, so the page asks for nothing. */
async function isQuiet(page) {
  await page.waitForTimeout(3000);
  const asked = [];
  const onRequest = (request) => asked.push(request.url());
  page.on("request", onRequest);
  await page.waitForTimeout(3000);
  page.off("request", onRequest);
  assert.deepEqual(asked, []);
}

export default async ({ page, url, ask, say, input }) => {
  await page.goto(`${url}/#/rollouts`);
  await page.getByText("No rollouts here.").waitFor();
  await page.getByRole("link", { name: "New rollout" }).click();
  const previewed = await fillIn(page, input.seed);
  await page.getByRole("heading", { name: "Spring · 1.0.2", level: 1 }).waitFor();

  const { said, filled } = await halts(page);
  say(`the bar said: ${said.join(" | ")}`);
  assert.ok(said.length >= 3, "the bar is seen filling");
  const counts = said.map((text) => Number.parseInt(text, 10));
  assert.deepEqual(counts, counts.toSorted((one, other) => one - other));
  assert.ok(filled.some((text) => /updating\s+[12]/.test(text)), filled.join(" | "));
  await showsTheCause(page);

  const gateways = page.getByRole("region", { name: "Gateways" });
  await gateways.getByLabel("Wave").selectOption("1");
  await page.waitForFunction(() => document.querySelectorAll("section[aria-label=Gateways] tbody tr").length === 10);
  assert.deepEqual(await ofWave(gateways.getByRole("table"), 1), previewed);
  await gateways.getByLabel("State").selectOption("failed");
  await page.waitForFunction(() => document.querySelectorAll("section[aria-label=Gateways] tbody tr").length < 4);
  await gateways.getByRole("cell", { name: /BATTERY_LOW: the battery/ }).first().waitFor();
  await isQuiet(page);

  await ask("charge");
  await page.getByRole("button", { name: "Resume" }).click();
  const progress = page.getByRole("region", { name: "Progress" });
  await progress.getByText("completed", { exact: true }).waitFor({ timeout: 90_000 });
  await page.getByRole("button", { name: "Retry the failed" }).click();
  await progress.getByText(`${GATEWAYS} of ${GATEWAYS} confirmed (100%)`).waitFor({ timeout: 60_000 });
  await progress.getByText("completed", { exact: true }).waitFor();
  for (const wave of [1, 2]) {
    await progress.getByRole("img", { name: `Wave ${wave}, up to ${50 * wave} % of the target: 10 confirmed`, exact: true }).waitFor();
  }
  assert.equal(await page.getByRole("button", { name: "Pause" }).count(), 0);

  await page.getByRole("link", { name: "All rollouts" }).click();
  const row = page.getByRole("row").filter({ has: page.getByRole("link", { name: "Spring" }) });
  await row.getByText(`${GATEWAYS} of ${GATEWAYS} confirmed`).waitFor();
};
