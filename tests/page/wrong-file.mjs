import assert from "node:assert/strict";
import { choose, drag } from "./files.mjs";

export default async ({ page, url, ask, input }) => {
  await page.goto(`${url}/#/firmware`);
  await page.getByRole("button", { name: "Choose files" }).waitFor();
  await drag(page, page.getByText("Drop a .bin"), input.files.map(({ path }) => path));
  for (const { name, warning } of input.files) {
    const card = page.getByRole("article", { name });
    await card.getByRole("status").filter({ hasText: warning }).waitFor();
    if (name !== input.kept) {
      await card.getByRole("button", { name: `Remove ${name}` }).click();
      await card.waitFor({ state: "detached" });
    }
  }
  const card = page.getByRole("article", { name: input.kept });
  assert.equal(await card.getByLabel("Version", { exact: true }).inputValue(), "");
  await card.getByLabel("Version", { exact: true }).fill("one");
  await card.getByRole("button", { name: "Upload", exact: true }).click();
  assert.match(await card.getByRole("alert").innerText(), /SemVer/);
  await card.getByLabel("Version", { exact: true }).fill(input.version);
  await card.getByRole("button", { name: "Upload", exact: true }).click();
  await card.getByText("The server's digests are those computed here.").waitFor();
  assert.equal((await ask("firmware")).version, input.version);

  // The same version again.
  await choose(page, [input.files.find(({ name }) => name === input.kept).path]);
  const again = page.getByRole("article", { name: input.kept }).first();
  await again.getByLabel("Version", { exact: true }).fill(input.version);
  await again.getByRole("button", { name: "Upload", exact: true }).click();
  assert.match(await again.getByRole("alert").innerText(), /already|exists/);
};
