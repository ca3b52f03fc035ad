// What was done stands in the audit log, with who did it and a way to the thing.
import assert from "node:assert/strict";

const lines = (page) => page.getByRole("row").filter({ has: page.getByRole("cell") });

async function token(page, name, role) {
  const status = await page.evaluate(
    async (body) =>
      (await fetch("/api/ota/tokens", { method: "POST", headers: { "Content-Type": "application/json" }, body })).status,
    JSON.stringify({ name, role }),
  );
  assert.equal(status, 200);
}

async function upload(page) {
  const status = await page.evaluate(async () => {
    const form = new FormData();
    form.set("version", "1.0.2");
    form.set("file", new Blob([new Uint8Array(2000)]), "firmware.bin");
    return (await fetch("/api/ota/firmware/upload", { method: "POST", body: form })).status;
  });
  assert.equal(status, 200);
}

async function filter(page) {
  await page.getByLabel("What", { exact: true }).fill("token.create");
  await page.getByRole("button", { name: "Show", exact: true }).click();
  await page.getByText("session.log_in").first().waitFor({ state: "detached" });
  assert.equal(await lines(page).count(), 2);
  assert.match(page.url(), /#\/audit\?action=token.create$/);
  await page.getByLabel("To which thing").fill("first");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.querySelectorAll("tbody tr").length === 1);
  await page.goBack();
  await page.waitForFunction(() => document.querySelectorAll("tbody tr").length === 2);
  assert.equal(await page.getByLabel("To which thing").inputValue(), "");
}

async function times(page) {
  await page.getByLabel("Until").fill("2020-01-01T00:00");
  await page.getByRole("button", { name: "Show", exact: true }).click();
  await page.getByText("No line fits the filter.").waitFor();
  // In Berlin it was 23:00 in UTC.
  assert.equal(new URLSearchParams(page.url().split("?")[1]).get("until"), "2019-12-31T23:00:00.000Z");
  await page.getByRole("button", { name: "Show all" }).click();
  await page.getByText("session.log_in").first().waitFor();
}

async function csv(page) {
  const address = await page.getByRole("link", { name: "Save as CSV" }).getAttribute("href");
  const text = await page.evaluate(async (address) => (await fetch(address)).text(), address);
  assert.match(text, /token\.create.*first|first.*token\.create/);
  const saving = page.waitForEvent("download");
  await page.getByRole("link", { name: "Save as CSV" }).click();
  assert.match((await saving).suggestedFilename(), /\.csv$/);
}

export default async ({ page, url, input, screenshot }) => {
  await page.goto(`${url}/login?next=${encodeURIComponent("/#/audit")}`);
  await page.getByLabel("Name").fill("ann");
  await page.getByLabel("Password").fill(input.password);
  await page.getByRole("button", { name: "Log in", exact: true }).click();
  const newest = lines(page).first();
  await newest.getByText("session.log_in").waitFor();
  assert.match(await newest.innerText(), /ann.*user.*127\.0\.0\.1/s);

  await token(page, "first", "viewer");
  await token(page, "second", "admin");
  // What people do to firmwares is heard of by events.
  await upload(page);
  await newest.getByText("firmware.upload").waitFor();
  await newest.getByText("Details").click();
  await newest.getByText("sha256").waitFor();
  await screenshot("audit");
  assert.equal(await newest.getByRole("link").getAttribute("href"), "#/firmware/gateway/1.0.2");
  await filter(page);
  await csv(page);
  await times(page);
  await newest.getByRole("link").click();
  await page.getByRole("heading", { name: "Audit log", level: 1 }).waitFor({ state: "detached" });
};
