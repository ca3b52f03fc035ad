import assert from "node:assert/strict";

export default async ({ page, url, input }) => {
  const foreign = [];
  page.on("request", (request) => request.url().startsWith(url) || foreign.push(request.url()));
  page.on("dialog", (dialog) => foreign.push(`dialog: ${dialog.message()}`));
  await page.goto(`${url}/#/firmware/gateway/${input.version}`);
  await page.getByRole("heading", { name: `gateway ${input.version}`, level: 1 }).waitFor();
  await page.getByText(input.description).waitFor();
  const changelog = page.getByRole("region", { name: "Changelog" });
  const shown = await changelog.innerText();
  for (const text of input.stays) {
    assert.ok(shown.includes(text), `${text} is not in ${shown}`);
  }
  const made = await page.locator("img, script:not([src]), iframe, svg, style, object, embed, form, [onerror], [onclick], [onload]").count();
  assert.equal(made, 0);
  const links = await changelog.getByRole("link").evaluateAll((all) => all.map((each) => [each.getAttribute("href"), each.rel]));
  assert.deepEqual(links.map(([href]) => href), input.links);
  assert.ok(links.every(([, rel]) => rel.includes("noopener")));
  assert.equal(await page.evaluate(() => "hacked" in globalThis), false);
  await page.goto(`${url}/#/firmware`);
  await page.getByRole("row").getByRole("link", { name: input.version, exact: true }).waitFor();
  assert.deepEqual(foreign, []);
};
