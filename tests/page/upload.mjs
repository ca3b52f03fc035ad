import assert from "node:assert/strict";
import { drag, fact } from "./files.mjs";

export default async ({ page, context, url, say, ask, screenshot, input }) => {
  const uploads = [];
  page.on("request", (request) => request.url().endsWith("/firmware/upload") && uploads.push(request));
  await page.goto(`${url}/#/firmware`);
  await page.getByRole("heading", { name: "Firmware", level: 1 }).waitFor();

  await drag(page, page.getByText("Drop a .bin"), [input.image.path]);
  const card = page.getByRole("article", { name: input.image.name });
  const digests = card.getByLabel("Computed in this browser");
  await digests.waitFor();
  assert.ok((await fact(digests, "SHA-256").innerText()).startsWith(input.image.sha256));
  assert.ok((await fact(digests, "MD5").innerText()).startsWith(input.image.md5));
  const image = card.getByLabel("Read from the image");
  for (const [name, value] of Object.entries(input.image.says)) {
    assert.equal(await fact(image, name).innerText(), value, name);
  }
  assert.equal(await card.getByLabel("Version", { exact: true }).inputValue(), input.image.version);
  assert.equal(await card.getByLabel("Device type").inputValue(), "gateway");
  assert.equal(uploads.length, 0);
  say("digests and image are known, and nothing was sent");

  await card.getByLabel("Description").fill("for the north hall");
  await card.getByLabel("Changelog").fill("# News\n\n- **faster** joins");
  await card.getByText("Preview of the changelog").click();
  await card.locator("strong", { hasText: "faster" }).waitFor();
  await page.evaluate(() => scrollTo(0, 0));
  await screenshot("firmware-upload", { fullPage: true });

  const session = await context.newCDPSession(page);
  await session.send("Network.enable");
  const throughput = (uploadThroughput) =>
    session.send("Network.emulateNetworkConditions", { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput });
  await throughput(40_000);
  await card.getByRole("button", { name: "Upload", exact: true }).click();
  const bar = card.getByRole("progressbar", { name: `Uploading ${input.image.name}` });
  await bar.waitFor();
  await page.waitForFunction((each) => each.value > 0, await bar.elementHandle());
  await card.getByRole("button", { name: "Cancel" }).click();
  await bar.waitFor({ state: "detached" });
  assert.equal(await ask("firmware"), null);
  await throughput(-1);
  say("an upload was cancelled on its way");

  await card.getByRole("button", { name: "Upload", exact: true }).click();
  await card.getByText("The server's digests are those computed here.").waitFor();
  assert.equal(uploads.length, 2);

  const row = page.getByRole("row").filter({ has: page.getByRole("link", { name: input.image.version, exact: true }) });
  await row.getByText("draft", { exact: true }).waitFor();
  await row.getByRole("button", { name: `Release gateway ${input.image.version}` }).click();
  await row.getByText("will be released in a moment").waitFor();
  await page.getByRole("button", { name: "Undo" }).click();
  await row.getByText("draft", { exact: true }).waitFor();
  assert.equal((await ask("firmware")).status, "draft");
  say("undone before it was sent");

  await row.getByRole("link", { name: input.image.version, exact: true }).click();
  await page.getByRole("heading", { name: `gateway ${input.image.version}`, level: 1 }).waitFor();
  await page.getByRole("heading", { name: "News", level: 3 }).waitFor();
  await page.getByText(input.image.says.Chip).waitFor();
  await page.getByRole("button", { name: /^Start testing/ }).click();
  await page.getByText("will be in testing in a moment").waitFor();
  await page.getByRole("button", { name: "Undo" }).waitFor({ state: "detached" });
  await page.getByText("testing", { exact: true }).waitFor();
  assert.equal((await ask("firmware")).status, "testing");
  await page.evaluate(() => scrollTo(0, 0));
  await screenshot("firmware-detail", { fullPage: true });

  await page.getByRole("button", { name: /^Release/ }).click();
  await page.getByText("will be released in a moment").waitFor();
  // Who closes the page has not undone it.
  const other = await context.newPage();
  await page.close();
  await other.goto(`${url}/#/firmware`);
  const released = other.getByRole("row").filter({ has: other.getByRole("link", { name: input.image.version, exact: true }) });
  await released.getByText("released", { exact: true }).waitFor();
  assert.equal((await ask("firmware")).status, "released");
  say("released by closing the page");

  await released.getByRole("link", { name: input.image.version, exact: true }).click();
  await other.getByRole("button", { name: "Deprecate" }).click();
  await other.getByRole("dialog").getByRole("button", { name: "Deprecate" }).click();
  await other.getByText("deprecated", { exact: true }).waitFor();
  assert.equal((await ask("firmware")).status, "deprecated");
};
