import assert from "node:assert/strict";

export default async ({ page, url, screenshot, input }) => {
  const { gatewayId, imageTag, script, link } = input;
  const alarms = [];
  page.on("dialog", (dialog) => {
    alarms.push(`dialog: ${dialog.message()}`);
    return dialog.dismiss();
  });
  page.on("request", (request) => {
    const path = request.url().replace(url, "");
    if (!/^\/(static\/|api\/ota\/|$|#)/.test(path) || /stolen|\/x$/.test(path)) {
      alarms.push(`request: ${path}`);
    }
  });
  await page.addInitScript(() => {
    window.violations = [];
    document.addEventListener("securitypolicyviolation", (event) => {
      window.violations.push(`${event.violatedDirective} ${event.blockedURI}`);
    });
  });
  await page.goto(`${url}/#/gateways/${gatewayId}`);
  const region = (name) => page.getByRole("region", { name, exact: true });
  for (const text of [imageTag, script, link]) {
    await region("Gateway").getByText(text, { exact: true }).waitFor();
    await region("Last heartbeat").getByText(text, { exact: true }).first().waitFor();
    await region("Slots").getByText(text, { exact: true }).waitFor();
  }
  await region("Last heartbeat").getByText("<b>name</b>", { exact: true }).waitFor();
  await region("Upgrade").getByText(script).waitFor();
  await region("Why").getByText(script).first().waitFor();
  await region("Tasks").locator("summary").click();
  await region("Tasks").getByRole("listitem").getByText(script).waitFor();

  await page.getByRole("button", { name: "Upgrade…" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText(imageTag + script).waitFor();
  await dialog.getByText("Changelog").click();
  await dialog.getByText(link).waitFor();
  await screenshot("gateway-hostile");
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Edit the tags" }).click();
  await page.locator("dialog input").first().waitFor();
  const values = await page.locator("dialog input").evaluateAll((inputs) => inputs.map(({ value }) => value));
  assert.ok([imageTag, script, link].every((text) => values.includes(text)), `${values}`);

  const main = page.locator("#app");
  assert.equal(await main.locator("img, script, iframe, object, main b > b").count(), 0);
  assert.equal(await main.locator('a[href^="javascript:"], a[target]').count(), 0);
  assert.deepEqual(await page.evaluate(() => window.violations), []);
  assert.deepEqual(alarms, []);
};
