import assert from "node:assert/strict";

/** What has the focus, as a screen reader names it, and whether it is seen. */
function focused() {
  const element = document.activeElement;
  const words = element.getAttribute("aria-label") ?? element.labels?.[0]?.textContent ?? element.textContent;
  const { outlineStyle, outlineWidth } = getComputedStyle(element);
  const seen = outlineStyle !== "none" && parseFloat(outlineWidth) >= 2;
  return { tag: element.localName, role: element.role, words: words.trim().replace(/\s+/g, " "), seen };
}

/** Tabs until `wanted` has the focus. */
async function tabTo(page, wanted, { limit = 80, key = "Tab" } = {}) {
  const passed = [];
  for (let tabs = 0; tabs < limit; tabs += 1) {
    await page.keyboard.press(key);
    const now = await page.evaluate(focused);
    passed.push(`${now.tag} ${now.words}`.slice(0, 60));
    if (wanted(now)) {
      assert.ok(now.seen, `the focus of ${now.words} is seen`);
      return now;
    }
  }
  throw new Error(`not among ${limit} tabs:\n${passed.join("\n")}`);
}

const named = (tag, words) => (now) => now.tag === tag && (words instanceof RegExp ? words.test(now.words) : now.words === words);
const heading = (page, name) => page.getByRole("heading", { name, level: 1 }).waitFor();

/** Effects move the focus, a moment after what they are of is drawn. */
async function focusIsAt(page, tag, words) {
  let now;
  for (let looks = 0; looks < 100; looks += 1) {
    now = await page.evaluate(focused);
    if (now.tag === tag && now.words === words) {
      return;
    }
    await page.waitForTimeout(50);
  }
  throw new Error(`the focus is at ${now.tag} ${now.words.slice(0, 80)}, not at ${tag} ${words}`);
}

export default async ({ page, url, say, input }) => {
  const { gatewayId, old, new: wanted } = input;
  await page.goto(`${url}/`);
  await heading(page, "Overview");
  await focusIsAt(page, "h1", "Overview");
  await tabTo(page, named("a", "Skip to the content"), { key: "Shift+Tab" });
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "content");
  await tabTo(page, named("a", "▤ Gateways"), { key: "Shift+Tab" });
  await page.keyboard.press("Enter");
  await heading(page, "Gateways");
  await focusIsAt(page, "h1", "Gateways");
  await page.getByText(gatewayId).waitFor();
  await tabTo(page, ({ role }) => role === "grid");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await heading(page, gatewayId);
  await focusIsAt(page, "h1", gatewayId);
  await page.getByRole("button", { name: "Upgrade…" }).waitFor();

  await tabTo(page, named("button", "Upgrade…"), { limit: 5 });
  await page.keyboard.press("Enter");
  const dialog = page.getByRole("dialog", { name: `Upgrade ${gatewayId}` });
  await dialog.getByRole("combobox", { name: "Version" }).waitFor();
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  await focusIsAt(page, "button", "Upgrade…");

  await page.keyboard.press("Space");
  await dialog.getByRole("combobox", { name: "Version" }).waitFor();
  await tabTo(page, named("button", "Cancel"), { limit: 12 });
  await page.keyboard.press("Enter");
  await dialog.waitFor({ state: "detached" });
  await focusIsAt(page, "button", "Upgrade…");

  await page.keyboard.press("Enter");
  await dialog.getByRole("combobox", { name: "Version" }).waitFor();
  if (!(await page.evaluate(() => document.activeElement.name === "version"))) {
    await tabTo(page, ({ tag }) => tag === "select", { limit: 12 });
  }
  await page.keyboard.type(wanted);
  assert.equal(await dialog.getByRole("combobox", { name: "Version" }).inputValue(), wanted);
  await tabTo(page, named("button", "Upgrade"), { limit: 12 });
  await page.keyboard.press("Enter");
  await dialog.waitFor({ state: "detached" });
  await focusIsAt(page, "button", "Upgrade…");
  await page.getByRole("status").getByText(`${old} → ${wanted}: confirmed`).waitFor();

  await tabTo(page, named("button", "Edit the tags"));
  await page.keyboard.press("Enter");
  await page.getByRole("dialog", { name: `Tags of ${gatewayId}` }).waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await focusIsAt(page, "button", "Edit the tags");
  await page.keyboard.press("Enter");
  await focusIsAt(page, "input", "Key");
  await page.keyboard.type("site");
  await page.keyboard.press("Tab");
  await page.keyboard.type("north lab");
  await page.keyboard.press("Enter");
  await page.getByRole("region", { name: "Gateway", exact: true }).getByText("north lab").waitFor();
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await focusIsAt(page, "button", "Edit the tags");

  await page.getByText(`${old} → ${wanted}`, { exact: true }).waitFor();
  await tabTo(page, ({ tag, words }) => tag === "summary" && words.startsWith(`${old} → ${wanted}`));
  await page.keyboard.press("Enter");
  const tasks = page.getByRole("region", { name: "Tasks" });
  await tasks.getByRole("listitem").filter({ hasText: "confirmed" }).waitFor();
  say("without a mouse: skip link, navigation, gateway, upgrade, tags, timeline");
};
