// From the first minute of a server to failures by cause, without loading the page anew.
import assert from "node:assert/strict";

/** The figures of a version's row: gateways, share, online. */
async function figures(page, version) {
  const row = page.getByRole("table", { name: "gateway" }).getByRole("row").filter({ has: page.getByRole("link", { name: version, exact: true }) });
  return (await row.getByRole("cell").allInnerTexts()).join(" ");
}

/** Waits until `say` says so; the last word if it never does. */
async function until(wanted, say) {
  let said;
  for (let time = 0; time < 300; time += 1) {
    said = await say();
    if (said === wanted) {
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.equal(said, wanted);
}

export default async ({ page, url, ask, say, input: { gateways, failing, version, old } }) => {
  const proven = gateways - failing;
  await page.goto(`${url}/#/`);
  const steps = page.getByRole("region", { name: "First steps" });
  await steps.getByText(`curl -X POST ${url}/api/ota/firmware/upload -F file=@firmware.bin -F version=1.0.2`).waitFor();
  await steps.getByText(`airlift-gateway --id HQ2026TEST001 --mqtt mqtt://127.0.0.1:1885`).waitFor();
  assert.equal(await page.getByRole("region", { name: "Versions" }).count(), 0);
  await page.evaluate(() => {
    globalThis.loadedOnce = true;
  });

  await ask("release");
  const upload = steps.getByRole("listitem").filter({ hasText: "Upload a firmware" });
  await upload.getByText("done").waitFor();
  await steps.getByRole("listitem").filter({ hasText: "Release it" }).getByText("done").waitFor();

  await ask("connect");
  await steps.waitFor({ state: "detached" });
  const online = page.getByRole("group", { name: "Gateways online" });
  await online.getByText(`${gateways} of ${gateways}`).waitFor();
  await page.getByRole("group", { name: "Need an upgrade" }).getByText(String(gateways), { exact: true }).waitFor();
  await until(`${gateways} 100% ${gateways}`, () => figures(page, old));

  await ask("upgrade");
  const running = page.getByRole("region", { name: "Tasks running" });
  const bar = running.getByRole("progressbar").first();
  await bar.waitFor();
  const name = await bar.getAttribute("aria-label");
  assert.match(name, /^Progress of SIM-\d{4}$/);
  const seen = new Set();
  while (await running.getByRole("progressbar", { name }).count()) {
    seen.add(await running.getByRole("progressbar", { name }).getAttribute("value", { timeout: 1000 }).catch(() => null));
    await page.waitForTimeout(50);
  }
  say(`the bar of ${name} stood at ${[...seen].join(", ")}`);
  assert.ok(seen.size > 2, "the bar moves");
  await running.getByText("Nothing is being upgraded now.").waitFor();

  const share = (count) => `${(count / gateways).toLocaleString("en", { style: "percent", maximumFractionDigits: 1 })}`;
  await until(`${proven} ${share(proven)} ${proven}`, () => figures(page, version));
  await until(`${failing} ${share(failing)} ${failing}`, () => figures(page, old));
  const failures = page.getByRole("region", { name: "Failures in 7 days, by cause" });
  const cause = failures.getByRole("listitem").filter({ hasText: "DIGEST_MISMATCH" }).first();
  await cause.getByText(`${failing} tasks`).waitFor();
  assert.equal(await cause.getByRole("link", { name: /^SIM-/ }).count(), failing);
  const success = page.getByRole("region", { name: "Success rate" });
  await success.getByText(`completed: last ${share(proven)}`).waitFor({ state: "attached" });
  await success.getByRole("button", { name: "Hours" }).click();
  await success.getByRole("button", { name: "Hours", pressed: true }).waitFor();
  await success.getByText(`failed: last ${share(failing)}`).waitFor({ state: "attached" });

  await ask("disconnect");
  await online.getByText(`0 of ${gateways}`).waitFor();
  assert.ok(await page.evaluate(() => globalThis.loadedOnce), "the page was loaded once");

  await page.getByRole("table", { name: "gateway" }).getByRole("link", { name: version, exact: true }).click();
  const grid = page.getByRole("grid", { name: "Gateways" });
  await page.getByText(`${proven} gateways`, { exact: true }).waitFor();
  assert.equal(await page.getByRole("searchbox").inputValue(), `type:gateway version=${version}`);
  assert.equal(await grid.getByRole("row").count(), proven + 1);
};
