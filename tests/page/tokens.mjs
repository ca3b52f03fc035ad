// An open server is closed by its first user, who makes tokens, users and keys for others.
import assert from "node:assert/strict";
import { chromium } from "playwright-core";

const PASSWORD = "four plain words here";

const heading = (page, name) => page.getByRole("heading", { name, level: 1 }).waitFor();
const dialog = (page, name) => page.getByRole("dialog", { name });
const row = (page, name) => page.getByRole("row", { name });

async function logIn(page, name) {
  await page.getByRole("heading", { name: "Log in" }).waitFor();
  await page.getByLabel("Name").fill(name);
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Log in", exact: true }).click();
}

/** Whether the API lets this bearer in. */
const status = async (url, path, bearer) =>
  (await fetch(`${url}${path}`, { headers: { Authorization: `Bearer ${bearer}` } })).status;

async function close({ page, url }) {
  await page.goto(`${url}/#/access`);
  await page.getByText("This server is open").waitFor();
  await page.getByRole("button", { name: "New token" }).click();
  await dialog(page, "New token").getByText("closes the server for ever").waitFor();
  await page.getByRole("button", { name: "Cancel" }).click();
  await page.getByRole("button", { name: "Make the first administrator" }).click();
  const form = dialog(page, "Make the first administrator");
  await form.getByLabel("Name").fill("ann");
  await form.getByLabel("Password").fill(PASSWORD);
  await form.getByLabel("The same again").fill(PASSWORD);
  await form.getByRole("button", { name: "Make, and log in" }).click();
  await logIn(page, "ann");
  await heading(page, "Tokens and keys");
  assert.equal(await page.getByText("This server is open").count(), 0);
}

/** Shown once: what the dialog holds. */
async function secretOf(page, name, label) {
  const shown = dialog(page, name);
  await shown.getByText("it is shown this once").waitFor();
  const secret = await shown.getByLabel(label, { exact: true }).inputValue();
  await shown.getByRole("button", { name: `Copy: ${label}` }).click();
  await shown.getByRole("button", { name: "I have kept it" }).click();
  await shown.waitFor({ state: "detached" });
  assert.ok(!(await page.content()).includes(secret), "the secret is still in the page");
  return secret;
}

async function token({ page, url, screenshot }) {
  await page.getByRole("button", { name: "New token" }).click();
  const form = dialog(page, "New token");
  await form.getByLabel("Name").fill("ci");
  await form.getByLabel("Role").selectOption("publisher");
  await form.getByRole("button", { name: "90 days" }).click();
  await form.getByRole("button", { name: "Make the token" }).click();
  const secret = await secretOf(page, "ci", "Token");
  assert.match(secret, /^alt_/);
  await row(page, "ci").getByText("good").waitFor();
  assert.match(await row(page, "ci").innerText(), /publisher.*in (3 months|90 days)/s);
  await screenshot("access");
  assert.equal(await status(url, "/api/ota/firmware", secret), 200);
  assert.equal(await status(url, "/api/ota/tokens", secret), 403);

  await page.getByRole("button", { name: "Revoke: ci" }).click();
  const asked = dialog(page, "Revoke ci?");
  await asked.getByText("refused at once").waitFor();
  await asked.getByRole("button", { name: "Revoke" }).click();
  await row(page, "ci").waitFor({ state: "detached" });
  await page.getByLabel("revoked ones too").check();
  await row(page, "ci").getByText("revoked").waitFor();
  assert.equal(await status(url, "/api/ota/firmware", secret), 401);
}

async function users({ page }) {
  await page.getByRole("link", { name: "Users" }).click();
  await page.getByRole("button", { name: "New user" }).click();
  const form = dialog(page, "New user");
  await form.getByLabel("Name").fill("ann");
  await form.getByLabel("Password").fill(PASSWORD);
  await form.getByLabel("The same again").fill(PASSWORD);
  await form.getByRole("button", { name: "Make the user" }).click();
  await form.getByRole("alert").getByText("ann").waitFor();
  await form.getByLabel("Name").fill("vic");
  await form.getByRole("button", { name: "Make the user" }).click();
  await row(page, "vic").getByText("viewer").waitFor();
}

/** Somebody else, with a browser of their own. */
async function another(input, work) {
  const browser = await chromium.launch({ executablePath: input.chromium, args: ["--no-sandbox", "--disable-gpu"] });
  try {
    const page = await browser.newPage({ locale: "en-GB" });
    page.setDefaultTimeout(input.patience ?? 30_000);
    await work(page);
  } finally {
    await browser.close();
  }
}

/** What a viewer may not do has no button, and what it may not see says so. */
async function limited(page, url) {
  await page.goto(url);
  await logIn(page, "vic");
  await heading(page, "Overview");
  const navigation = page.getByRole("navigation");
  await navigation.getByText("vic").waitFor();
  await navigation.getByText("viewer").waitFor();
  for (const [at, title] of [
    ["#/access", "Tokens and keys"],
    ["#/access/users", "Tokens and keys"],
    ["#/access/provisioning", "Tokens and keys"],
    ["#/access/gateways", "Tokens and keys"],
    ["#/audit", "Audit log"],
    ["#/settings/server", "Settings"],
    ["#/settings/webhooks", "Settings"],
  ]) {
    await page.goto(`${url}/${at}`);
    await heading(page, title);
    await page.getByText("Only an administrator sees this. You are logged in as vic (viewer).").waitFor();
    assert.equal(await page.getByRole("main").getByRole("button").count(), 0, at);
  }
}

async function role({ page }) {
  await page.getByRole("button", { name: "Change: vic" }).click();
  const form = dialog(page, "Change: vic");
  await form.getByLabel("Role").selectOption("operator");
  await form.getByRole("button", { name: "Change" }).click();
  await row(page, "vic").getByText("operator").waitFor();
  await page.getByRole("button", { name: "Delete: vic" }).click();
  await dialog(page, "Delete vic?").getByRole("button", { name: "Delete" }).click();
  await row(page, "vic").waitFor({ state: "detached" });
}

const claim = (url, key, gatewayId) =>
  fetch(`${url}/api/ota/gateways/${gatewayId}/claim`, { method: "POST", headers: { Authorization: `Bearer ${key}` } });

async function provisioning({ page, url }) {
  await page.getByRole("link", { name: "Provisioning keys" }).click();
  await page.getByRole("button", { name: "New key" }).click();
  const form = dialog(page, "New key");
  await form.getByLabel("Name").fill("line-3");
  await form.getByLabel("So many gateways at most").fill("1");
  await form.getByRole("button", { name: "Make the key" }).click();
  const key = await secretOf(page, "line-3", "Provisioning key");
  assert.match(key, /^alp_/);
  await row(page, "line-3").getByText("0 of 1").waitFor();
  assert.equal((await claim(url, key, "CLAIMS-1")).status, 200);
  assert.equal((await claim(url, key, "CLAIMS-2")).status, 403);
  await page.reload();
  await row(page, "line-3").getByText("used up").waitFor();
  await page.getByRole("button", { name: "Revoke: line-3" }).click();
  await dialog(page, "Revoke line-3?").getByRole("button", { name: "Revoke" }).click();
  await row(page, "line-3").getByText("revoked").waitFor();
}

async function gatewayTokens({ page, url }) {
  await page.getByRole("link", { name: "Gateway tokens" }).click();
  await row(page, "CLAIMS-1").getByText("by provisioning key line-3").waitFor();
  await page.getByRole("button", { name: "Exchange: CLAIMS-1" }).click();
  await dialog(page, "New token").getByRole("button", { name: "Make the token" }).click();
  await dialog(page, "CLAIMS-1").getByText("The old token is good until").waitFor();
  const secret = await secretOf(page, "CLAIMS-1", "Token");
  assert.equal(await status(url, "/api/ota/gateways/CLAIMS-1/command", secret), 200);
  await page.getByRole("button", { name: "Revoke: CLAIMS-1" }).first().click();
  await dialog(page, "Shut CLAIMS-1 out?").getByRole("button", { name: "Revoke" }).click();
  await row(page, "CLAIMS-1").getByText("revoked").first().waitFor();
  assert.equal(await status(url, "/api/ota/gateways/CLAIMS-1/command", secret), 401);

  await page.getByRole("button", { name: "Tokens for a list" }).click();
  const form = dialog(page, "Tokens for a list");
  const file = (text) => ({ name: "ids.csv", mimeType: "application/vnd.ms-excel", buffer: Buffer.from(text) });
  await form.getByLabel("CSV file").setInputFiles(file("serial\nBULK-1\n"));
  await form.getByRole("button", { name: "Make the tokens" }).click();
  await form.getByRole("alert").getByText("the first column must be gatewayId").waitFor();
  await form.getByLabel("CSV file").setInputFiles(file("gatewayId\nBULK-1\nBULK-2\n"));
  await form.getByRole("button", { name: "Make the tokens" }).click();
  const made = dialog(page, "2 tokens are made");
  const saving = page.waitForEvent("download");
  await made.getByRole("link", { name: "Save tokens.csv" }).click();
  const saved = await text(await (await saving).createReadStream());
  await made.getByRole("button", { name: "I have kept it" }).click();
  const [, bulk] = /BULK-2,(alg_\S+)/.exec(saved);
  assert.equal(await status(url, "/api/ota/gateways/BULK-2/command", bulk), 200);
  await page.getByLabel("Gateway id").fill("BULK-2");
  await row(page, "BULK-1").waitFor({ state: "detached" });
  await row(page, "BULK-2").getByText("by ann", { exact: true }).waitFor();
}

async function text(stream) {
  let all = "";
  for await (const part of stream) {
    all += part;
  }
  return all;
}

export default async (scenario) => {
  const { page, url, input } = scenario;
  await close(scenario);
  await token(scenario);
  await users(scenario);
  await another(input, (page) => limited(page, url));
  await role(scenario);
  await provisioning(scenario);
  await gatewayTokens(scenario);
  await page.getByRole("link", { name: "Signing keys" }).click();
};
