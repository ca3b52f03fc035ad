import assert from "node:assert/strict";

export default async ({ page, url, screenshot, input }) => {
  await page.goto(`${url}/#/firmware`);
  const [a, b] = input.versions;
  await page.getByRole("checkbox", { name: `Compare gateway ${a}` }).check();
  await page.getByRole("checkbox", { name: `Compare gateway ${b}` }).check();
  await page.getByRole("link", { name: "Compare", exact: true }).click();
  await page.getByRole("heading", { name: "Two versions compared", level: 1 }).waitFor();
  const table = page.getByRole("region", { name: "Differences" });
  const cells = async (name) => {
    const row = table.getByRole("row").filter({ has: page.getByRole("rowheader", { name, exact: true }) });
    return row.getByRole("cell").allInnerTexts();
  };
  await table.getByText(input.chip, { exact: true }).waitFor();
  await table.getByRole("row", { name: /Gateways that run it/ }).getByRole("link").nth(1).waitFor();
  for (const [name, expected] of Object.entries(input.rows)) {
    assert.deepEqual(await cells(name), expected, name);
  }
  await page.getByRole("region", { name: `Changelog of gateway ${a}` }).getByText("the first").waitFor();
  await page.getByRole("region", { name: `Changelog of gateway ${b}` }).getByText("the second").waitFor();
  await screenshot("firmware-compare", { fullPage: true });
  await table.getByRole("row", { name: /Gateways that run it/ }).getByRole("link").first().click();
  await page.waitForURL(/#\/gateways\?filter=type%3Agateway\+version%3D/);
};
