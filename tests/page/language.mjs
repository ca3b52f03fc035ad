import assert from "node:assert/strict";

export default async ({ page, url }) => {
  await page.goto(`${url}/#/settings`);
  await page.getByRole("heading", { name: "Settings", level: 1 }).waitFor();
  await page.getByLabel("Language").selectOption("zh");
  await page.getByRole("heading", { name: "设置", level: 1 }).waitFor();
  assert.equal(await page.locator("html").getAttribute("lang"), "zh");
  await page.getByLabel("语言").selectOption("ru");
  await page.getByRole("heading", { name: "Настройки", level: 1 }).waitFor();
  await page.reload();
  await page.getByRole("heading", { name: "Настройки", level: 1 }).waitFor();
  await page.getByRole("link", { name: "Обзор" }).click();
  await page.getByRole("heading", { name: "Обзор", level: 1 }).waitFor();
};
