import assert from "node:assert/strict";

export default async ({ page, url, say }) => {
  await page.addInitScript(() => {
    globalThis.stopped = [];
    addEventListener("securitypolicyviolation", (event) => globalThis.stopped.push(event.violatedDirective));
  });
  // The description of the whole API is a large page.
  page.setDefaultTimeout(120_000);
  const answer = await page.goto(`${url}/docs/`);
  assert.match(answer.headers()["content-security-policy"], /style-src 'self';/);
  const operation = page.locator(".opblock").filter({ hasText: "List firmwares" });
  await operation.getByText("List firmwares").click();
  await operation.getByRole("button", { name: "Try it out" }).click();
  await operation.getByRole("button", { name: "Execute" }).click();
  await operation.locator(".live-responses-table").getByText('"message": "Success"').waitFor();
  assert.deepEqual(await page.evaluate(() => globalThis.stopped), []);
  say("the API's description works, and the policy stopped nothing");
};
