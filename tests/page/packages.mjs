// Packages: seen as they are pushed, rolled back, released, deleted, and pushed by dropping a file.
import assert from "node:assert/strict";

/** The row of a table that has this link. */
function withName(scope, name) {
  const page = "page" in scope ? scope.page() : scope;
  return scope.getByRole("row").filter({ has: page.getByRole("link", { name, exact: true }) });
}

async function appear(page, ask) {
  await page.getByText("No packages here.").waitFor();
  await ask("push app 1.9.0 main");
  await withName(page, "1.9.0").getByText("head").waitFor();
  await ask("push app 1.10.0 main");
  await withName(page, "1.10.0").getByText("head").waitFor();
  await withName(page, "1.9.0").getByText("head").waitFor({ state: "hidden" });
  await ask("push app 2.0.0-rc.1 feature/x");
  await withName(page, "2.0.0-rc.1").waitFor();

  await page.getByLabel("Branch").fill("feature/x");
  await withName(page, "1.9.0").waitFor({ state: "hidden" });
  await page.getByLabel("Branch").fill("no branch");
  await page.getByText("No packages here.").waitFor();
  await page.getByLabel("Branch").fill("main");
  await withName(page, "1.9.0").waitFor();
}

async function isReadable(page) {
  const version = page.getByRole("region", { name: "app 1.10.0" });
  await version.getByText("The <b>application</b> of <script>", { exact: true }).waitFor();
  assert.equal(await version.locator("b, script").count(), 0);
  await version.getByText("systemctl restart app").first().waitFor();
  await version.getByRole("link", { name: "lib", exact: true }).waitFor();
  await version.getByText(">=1.2, <2", { exact: true }).waitFor();
  await version.getByRole("button", { name: "Copy: SHA-256" }).waitFor();
  await version.getByText("nobody that is trusted").waitFor();
}

async function rollsBack(page, ask) {
  await page.getByRole("button", { name: "Roll back" }).click();
  const dialog = page.getByRole("dialog", { name: "Roll back main of app" });
  await dialog.getByLabel("To version").selectOption("1.9.0");
  await dialog.getByRole("button", { name: "Roll back" }).click();
  await page.getByText("app on main is back at 1.9.0.").waitFor();
  const versions = page.getByRole("region", { name: "Versions of main" });
  await withName(versions, "1.10.0").getByText("withdrawn").waitFor();
  await withName(versions, "1.9.0").getByText("head").waitFor();
  await versions.getByRole("link", { name: "1.10.0" }).click();
  const version = page.getByRole("region", { name: "app 1.10.0" });
  await version.getByText("withdrawn", { exact: true }).waitFor();
  assert.equal(await version.getByRole("button", { name: "Release as firmware" }).count(), 0);

  // There is no earlier one: the server says so, and the dialog stays.
  await page.getByRole("button", { name: "Roll back" }).click();
  await dialog.getByRole("button", { name: "Roll back" }).click();
  await dialog.getByRole("alert").waitFor();
  await page.keyboard.press("Escape");

  await ask("push app 1.10.0 main");
  await withName(versions, "1.10.0").getByText("head").waitFor();
  await version.getByText("withdrawn", { exact: true }).waitFor({ state: "hidden" });
}

async function releasesAndDeletes(page) {
  const version = page.getByRole("region", { name: "app 1.10.0" });
  await version.getByRole("button", { name: "Release as firmware" }).click();
  const release = page.getByRole("dialog", { name: "Release app 1.10.0 as firmware" });
  await release.getByRole("button", { name: "Release as firmware" }).click();
  await page.getByText("It is released as linux 1.10.0.").waitFor();
  await version.getByRole("link", { name: "linux 1.10.0" }).waitFor();

  await version.getByRole("button", { name: "Delete" }).click();
  const dialog = page.getByRole("dialog", { name: "Delete app 1.10.0 of main?" });
  await dialog.getByRole("button", { name: "Delete" }).click();
  await dialog.getByRole("alert").getByText("released").waitFor();
  await dialog.getByRole("button", { name: "Cancel" }).click();

  const versions = page.getByRole("region", { name: "Versions of main" });
  await versions.getByRole("link", { name: "1.9.0" }).click();
  await page.getByRole("region", { name: "app 1.9.0" }).getByRole("button", { name: "Delete" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await withName(versions, "1.9.0").waitFor({ state: "hidden" });
}

async function drop(page, files) {
  const transfer = await page.evaluateHandle((files) => {
    const transfer = new DataTransfer();
    for (const [name, text] of files) {
      transfer.items.add(new File([text], name));
    }
    return transfer;
  }, files);
  await page.getByText("Drop the file").dispatchEvent("drop", { dataTransfer: transfer });
}

async function pushesByDrop(page) {
  await page.getByRole("link", { name: "All packages" }).click();
  await page.getByRole("button", { name: "Push a version" }).click();
  const dialog = page.getByRole("dialog", { name: "Push a version of a package" });
  const content = { package: "tool", version: "0.1", branch: "main", sha256: "0".repeat(64) };
  await drop(page, [["tool.sh", "echo tool\n"], ["content.json", JSON.stringify(content)]]);
  await dialog.getByText("content.json names another sha256 than the file's").waitFor();
  assert.ok(await dialog.getByRole("button", { name: "Push" }).isDisabled());
  await dialog.getByLabel(/^content\.json/).fill(JSON.stringify({ ...content, sha256: undefined, version: "not a version" }));
  await dialog.getByRole("button", { name: "Push" }).click();
  await dialog.getByRole("alert").getByText("version").waitFor();
  await dialog.getByLabel(/^content\.json/).fill(JSON.stringify({ ...content, sha256: undefined }));
  await dialog.getByRole("button", { name: "Push" }).click();
  await page.getByRole("heading", { name: "tool", level: 1 }).waitFor();
  const version = page.getByRole("region", { name: "tool 0.1" });
  await version.getByText("10 B").waitFor();
}

export default async ({ page, url, ask }) => {
  await page.goto(`${url}/#/packages`);
  await appear(page, ask);
  await page.getByRole("link", { name: "1.10.0" }).click();
  await page.getByRole("heading", { name: "app", level: 1 }).waitFor();
  await isReadable(page);
  await rollsBack(page, ask);
  await releasesAndDeletes(page);
  await pushesByDrop(page);
};
