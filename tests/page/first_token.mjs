// The first token of an open server closes it, also to the page that shows the token: this once.
import assert from "node:assert/strict";

export default async ({ page, url, input }) => {
  await page.goto(`${url}/#/gateways/${input.gatewayId}`);
  await page.getByRole("button", { name: "Make a token" }).click();
  const answered = page.waitForResponse((answer) => answer.status() === 401);
  await page.getByRole("dialog").getByRole("button", { name: "Make a token" }).click();
  const secret = page.getByRole("dialog").getByRole("textbox", { name: input.gatewayId });
  await secret.waitFor();
  await answered;
  await page.waitForTimeout(500);
  assert.match(await secret.inputValue(), /^alg_/);
  await page.getByRole("button", { name: "I have kept it" }).click();
  await page.getByRole("heading", { name: "Log in" }).waitFor();
};
