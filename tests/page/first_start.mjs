// A closed server: its printed link makes the first administrator, who logs out and in again.
import assert from "node:assert/strict";

const PASSWORD = "four plain words here";

async function setUp({ page, input }) {
  await page.goto(input.link);
  await page.getByRole("heading", { name: "Set up" }).waitFor();
  assert.equal(new URL(page.url()).hash, "", "the secret stays in the address");
  await page.getByLabel("Name").fill("ann");
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByLabel("The same again").fill("four plain words there");
  await page.getByRole("button", { name: "Make the administrator" }).click();
  await page.getByRole("alert").getByText("The two passwords differ.").waitFor();
  await page.getByLabel("The same again").fill(PASSWORD);
  await page.getByRole("button", { name: "Make the administrator" }).click();
  await page.getByRole("heading", { name: "Overview", level: 1 }).waitFor();
}

async function logOut(page) {
  await page.getByRole("navigation").getByText("ann").waitFor();
  await page.getByRole("navigation").getByText("administrator").waitFor();
  await page.getByRole("button", { name: "Log out" }).click();
  await page.getByRole("heading", { name: "Log in" }).waitFor();
}

/** Each of these would lead to another server. */
async function staysHere({ page, url }) {
  for (const next of ["https://example.com/", "//example.com/", "/\\example.com/", "javascript:alert(1)"]) {
    await page.goto(`${url}/login?next=${encodeURIComponent(next)}`);
    await logIn(page, PASSWORD);
    await page.getByRole("heading", { name: "Overview", level: 1 }).waitFor();
    assert.equal(new URL(page.url()).origin, url, next);
    await forget(page);
  }
}

/** As if the browser had never been here; a page that is still open would leave for the login meanwhile. */
async function forget(page) {
  await page.goto("about:blank");
  await page.context().clearCookies();
}

async function logIn(page, password) {
  await page.getByLabel("Name").fill("ann");
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Log in", exact: true }).click();
}

async function languages({ page, screenshot }) {
  await page.getByRole("button", { name: "中文" }).click();
  await page.getByRole("heading", { name: "登录" }).waitFor();
  assert.equal(await page.title(), "登录 – airlift");
  await page.getByRole("button", { name: "Русский" }).click();
  await page.getByLabel("Пароль").waitFor();
  await screenshot("login-ru");
  await page.reload();
  await page.getByRole("heading", { name: "Войти" }).waitFor();
  await page.getByRole("button", { name: "English" }).click();
  await page.getByLabel("Password").waitFor();
}

export default async (scenario) => {
  const { page, url, screenshot } = scenario;
  await setUp(scenario);
  await logOut(page);

  await page.goto(`${url}/#/audit?action=setup.use`);
  await page.getByRole("heading", { name: "Log in" }).waitFor();
  await languages(scenario);
  await logIn(page, "not the password at all");
  await page.getByRole("alert").getByText("name or password is wrong").waitFor();
  await screenshot("login");
  await logIn(page, PASSWORD);
  await page.getByRole("heading", { name: "Audit log", level: 1 }).waitFor();
  assert.equal(new URL(page.url()).hash, "#/audit?action=setup.use");

  await forget(page);
  await staysHere(scenario);
  // Good once; half of it is not whole.
  await page.goto(`${url}/setup`);
  await page.getByText("The link is not whole").waitFor();
  await page.goto(scenario.input.link);
  await page.getByText("The link is not whole").waitFor({ state: "detached" });
  await page.getByLabel("Name").fill("eve");
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByLabel("The same again").fill(PASSWORD);
  await page.getByRole("button", { name: "Make the administrator" }).click();
  await page.getByRole("alert").getByText("this link is not good").waitFor();
};
