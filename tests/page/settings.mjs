// The reader's own settings, and whose work is in the page.
import assert from "node:assert/strict";

const NEW = "four other words now";

async function logIn(page, password) {
  await page.getByLabel("Name").fill("ann");
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Log in", exact: true }).click();
}

async function change(page, old) {
  await page.getByLabel("Old password").fill(old);
  await page.getByLabel("New password").fill(NEW);
  await page.getByLabel("The same again").fill(NEW);
  await page.getByRole("button", { name: "Change the password" }).click();
}

async function theme(page) {
  const paper = () => page.evaluate(() => getComputedStyle(document.querySelector("main section")).backgroundColor);
  const light = await paper();
  await page.getByLabel("Colours").selectOption("dark");
  assert.notEqual(await paper(), light);
  await page.reload();
  await page.getByLabel("Colours").waitFor();
  assert.notEqual(await paper(), light);
  await page.getByLabel("Colours").selectOption("as the system has them");
  assert.equal(await paper(), light);
}

async function server(page, url) {
  await page.getByRole("link", { name: "Server" }).click();
  await page.getByText("built-in").first().waitFor();
  await page.getByLabel("Search").fill("devices told download");
  await page.getByText("1 option", { exact: true }).waitFor();
  assert.match(await page.getByRole("row", { name: "--public-url" }).innerText(), /http:.*command line.*What devices/s);
  await page.getByLabel("Search").fill("no option says this");
  await page.getByText("No option says that.").waitFor();
  await page.goto(`${url}/#/access/signing`);
  await page.getByText("Firmware without a signature is released and sent, too").waitFor();
  await page.getByText("No key is trusted").waitFor();
  await page.goto(`${url}/#/settings`);
}

async function about(page, url) {
  await page.getByRole("link", { name: "About" }).click();
  await page.getByText(/^\d+\.\d+\.\d+$/).waitFor();
  const licences = await page.getByRole("listitem").getByRole("link", { name: /MIT|Apache/ }).all();
  assert.equal(licences.length, 6);
  for (const licence of [...licences, page.getByRole("link", { name: "All routes" })]) {
    const answer = await page.request.get(url + (await licence.getAttribute("href")));
    assert.equal(answer.status(), 200, answer.url());
    assert.ok((await answer.text()).length > 500, answer.url());
  }
}

export default async ({ page, url, input }) => {
  await page.goto(`${url}/login?next=${encodeURIComponent("/#/settings")}`);
  await logIn(page, input.password);
  await page.getByRole("heading", { name: "Settings", level: 1 }).waitFor();
  await theme(page);
  await change(page, "not the old password");
  await page.getByText("the old password is not the one that this user has").waitFor();
  await change(page, input.password);
  await page.getByText("The password is changed; all other sessions have ended.").waitFor();
  await server(page, url);
  await about(page, url);
  await page.getByRole("button", { name: "Log out" }).click();
  await page.getByRole("heading", { name: "Log in" }).waitFor();
  await logIn(page, NEW);
  await page.getByRole("heading", { name: "Settings", level: 1 }).waitFor();
};
