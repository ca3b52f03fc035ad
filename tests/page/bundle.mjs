import assert from "node:assert/strict";
import { choose, fact } from "./files.mjs";

export default async ({ page, url, say, ask, screenshot, input }) => {
  await page.goto(`${url}/#/firmware`);
  await choose(page, [input.stranger, input.trusted]);
  const trusted = page.getByRole("article", { name: "trusted.jota" });
  const stranger = page.getByRole("article", { name: "stranger.jota" });
  const manifest = trusted.getByLabel("Read from the manifest");
  await trusted.getByLabel("Computed in this browser").waitFor();
  assert.equal(await fact(manifest, "Version").innerText(), input.version);
  assert.equal(await fact(manifest, "Target").innerText(), "esp32c3");
  assert.equal(await fact(manifest, "Release counter").innerText(), String(input.counter));
  assert.equal(await fact(manifest, "Signature").innerText(), "signed by the key release-2026; the server checks it");
  assert.match(await fact(stranger.getByLabel("Read from the manifest"), "Signature").innerText(), /signed by [0-9A-F]{40}/);
  const version = trusted.getByLabel("Version", { exact: true });
  assert.equal(await version.inputValue(), input.version);
  assert.ok(await version.isDisabled());
  await page.evaluate(() => scrollTo(0, 0));
  await screenshot("firmware-bundle", { fullPage: true });

  await stranger.getByRole("button", { name: "Upload", exact: true }).click();
  const refusal = await stranger.getByRole("alert").innerText();
  assert.match(refusal, /no trusted key/);
  say(`the server refused: ${refusal}`);
  assert.equal(await ask("firmware"), null);

  await trusted.getByRole("button", { name: "Upload", exact: true }).click();
  await trusted.getByText("The server's digests are those computed here.").waitFor();
  await page.getByRole("row").getByText("signed by release-2026").waitFor();
  assert.equal((await ask("firmware")).signedBy.name, "release-2026");
  await trusted.getByRole("link", { name: `Show gateway ${input.version}` }).click();
  await page.getByRole("heading", { name: `gateway ${input.version}`, level: 1 }).waitFor();
  await page.getByText("signed by release-2026").waitFor();
  await page.getByRole("row").getByRole("link", { name: "firmware.bin" }).waitFor();

  await page.getByRole("button", { name: "Delete the draft" }).click();
  const dialog = page.getByRole("dialog", { name: `Delete the draft gateway ${input.version}?` });
  await dialog.getByRole("button", { name: "Cancel" }).click();
  await dialog.waitFor({ state: "detached" });
  assert.notEqual(await ask("firmware"), null);
  await page.getByRole("button", { name: "Delete the draft" }).click();
  await dialog.getByRole("button", { name: "Delete the draft" }).click();
  await page.getByRole("heading", { name: "Firmware", level: 1 }).waitFor();
  await page.getByText("There is none.").waitFor();
  assert.equal(await ask("firmware"), null);
};
