// The table of gateways: by keyboard, filtered, kept current, tagged by a list.
import assert from "node:assert/strict";

/** The row that a screen reader is told of. */
async function activeRow(page, grid) {
  await page.waitForFunction(() => {
    const grid = document.querySelector("[role=grid]");
    return document.getElementById(grid.getAttribute("aria-activedescendant") ?? "")?.querySelector("a");
  });
  const row = page.locator(`id=${await grid.getAttribute("aria-activedescendant")}`);
  return { index: Number(await row.getAttribute("aria-rowindex")), id: await row.getByRole("link").innerText() };
}

async function keyboard(page, grid, announced) {
  const press = async (key) => {
    await page.keyboard.press(key);
    return activeRow(page, grid);
  };
  const row = (index) => ({ index, id: `GW-${String(index - 2).padStart(6, "0")}` });
  await grid.focus();
  assert.deepEqual(await activeRow(page, grid), row(2));
  assert.deepEqual(await press("ArrowDown"), row(3));
  const { index } = await press("PageDown");
  assert.ok(index > 6, `PageDown went to row ${index}`);
  assert.deepEqual(await press("PageUp"), row(3));
  assert.deepEqual(await press("ArrowUp"), row(2));
  await press("End");
  assert.deepEqual(await press("PageUp"), row(await grid.getAttribute("aria-rowcount").then(Number) - (index - 3)));
  assert.deepEqual(await press("Home"), row(2));
  await press("ArrowDown");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { level: 1, name: "GW-000001" }).waitFor();
  await page.goBack();
  await page.getByRole("status").filter({ hasText: `${announced.toLocaleString("en")} gateways` }).waitFor();
}

async function filters(page, grid, url, connected) {
  const box = page.getByRole("searchbox", { name: "Filter" });
  await box.fill("version<<2");
  await page.getByRole("alert").filter({ hasText: "`version<<2` is not a condition on the version" }).waitFor();
  await box.fill('tag:site="north lab" id:GW-*');
  await page.getByText("1 gateway", { exact: true }).waitFor();
  await grid.getByRole("row").filter({ hasText: "GW-000007" }).waitFor();
  const csv = page.getByRole("link", { name: "Export CSV" });
  const [download] = await Promise.all([page.waitForEvent("download"), csv.click()]);
  const { readFile } = await import("node:fs/promises");
  const lines = (await readFile(await download.path(), "utf8")).trim().split("\n");
  assert.equal(lines.length, 2, lines.join());
  await page.reload();
  assert.equal(await box.inputValue(), 'tag:site="north lab" id:GW-*');
  await page.getByText("1 gateway", { exact: true }).waitFor();
  await page.getByRole("button", { name: "Clear" }).click();
  await page.getByRole("button", { name: "Online" }).click();
  await page.getByText(`${connected} gateways`, { exact: true }).waitFor();
  assert.equal(await box.inputValue(), "online:true");
  await page.getByLabel("Device type").selectOption("gateway");
  await page.getByRole("button", { name: "Needs upgrade: below 1.0.2" }).click();
  assert.equal(await box.inputValue(), "online:true type:gateway version<1.0.2");
  await page.getByText(`${connected} gateways`, { exact: true }).waitFor();
}

async function importTags(page, grid) {
  await page.getByRole("button", { name: "Import tags…" }).click();
  const dialog = page.getByRole("dialog", { name: "Import tags" });
  await dialog.getByRole("button", { name: "Import" }).click();
  await dialog.getByText("Choose a file, or paste the list.").waitFor();
  await dialog.getByLabel("Or the list itself").fill("gatewayId,site\nno blanks please,lab");
  await dialog.getByRole("button", { name: "Import" }).click();
  await dialog.getByRole("alert").filter({ hasText: "line 2" }).waitFor();
  await dialog.getByLabel("Or the list itself").fill("gatewayId,deviceType,site\nNEW-1,esp32,yard\nSIM-0001,,roof");
  await dialog.getByRole("button", { name: "Import" }).click();
  await dialog.waitFor({ state: "detached" });
  await page.getByText("2 gateways read, 1 registered, 1 changed.").waitFor();
  await page.getByRole("searchbox").fill("tag:site=yard");
  await grid.getByRole("row").filter({ hasText: "NEW-1" }).waitFor();
}

export default async ({ page, url, ask, input: { announced, connected } }) => {
  await page.goto(`${url}/#/gateways`);
  const grid = page.getByRole("grid", { name: "Gateways" });
  await grid.getByText("GW-000003").waitFor();
  await keyboard(page, grid, announced + connected);
  await filters(page, grid, url, connected);
  await importTags(page, grid);

  await page.getByRole("searchbox").fill("id:SIM-*");
  const row = grid.getByRole("row").filter({ hasText: "SIM-0001" });
  await row.getByText("online", { exact: true }).waitFor();
  await row.getByText("site=roof").waitFor();
  await row.evaluate((element) => {
    element.kept = true;
  });
  await ask("disconnect");
  await row.getByText("offline", { exact: true }).waitFor();
  assert.ok(await row.evaluate((element) => element.kept), "the row itself has changed");

  await page.setViewportSize({ width: 390, height: 844 });
  await row.getByText("offline", { exact: true }).waitFor();
  const box = await row.boundingBox();
  assert.ok(box.height >= 44 && box.width <= 390, JSON.stringify(box));
};
