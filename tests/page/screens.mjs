// Every screen: no serious fault of accessibility, nothing wider than a phone, its picture for docs/screens.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const PHONE = { width: 390, height: 844 };
const DESK = { width: 1280, height: 800 };

/** Faults that keep people out, with the elements that have them. */
async function faults(page) {
  await page.evaluate(axe);
  const { violations, passes } = await page.evaluate(() => globalThis.axe.run());
  assert.ok(passes.length > 10, "axe-core looked at the page");
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.html} (${node.failureSummary})`));
}

/** What stands out of the view at the right, outside of boxes that scroll. */
const overflow = (page) =>
  page.evaluate(() => {
    const width = document.documentElement.clientWidth;
    const scrolls = (element) => ["auto", "scroll"].includes(getComputedStyle(element).overflowX);
    const within = (element) => {
      for (let box = element.parentElement; box && box.id !== "app"; box = box.parentElement) {
        if (scrolls(box)) {
          return true;
        }
      }
      return false;
    };
    return [...document.querySelectorAll("main *")]
      .filter((element) => !within(element) && element.getClientRects().length > 0)
      .filter((element) => element.getBoundingClientRect().right > width + 1)
      .filter((element) => !element.closest(".unseen"))
      .map((element) => element.outerHTML.slice(0, 160));
  });

/** Resolves once the page has shown nothing new for a while. */
const settled = (page) =>
  page.evaluate(
    () =>
      new Promise((resolve) => {
        let timer = setTimeout(resolve, 250);
        const observer = new MutationObserver(() => {
          clearTimeout(timer);
          timer = setTimeout(resolve, 250);
        });
        observer.observe(document.body, { subtree: true, childList: true, characterData: true });
        setTimeout(resolve, 1500);
      }),
  );

/** @param {import("playwright-core").Page} page */
async function logIn(page, url, { name, password }) {
  await page.goto(`${url}/login`);
  await page.getByLabel("Name").fill(name);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
}

export default async ({ page, url, input, say, screenshot }) => {
  await logIn(page, url, input.user);
  let looked = 0;
  const show = async (path) => {
    await page.goto("about:blank");
    await page.goto(`${url}/${path}`);
    await page.getByRole("heading", { level: 1 }).waitFor();
    await settled(page);
  };
  const check = async (name) => {
    const found = [...(await faults(page)), ...(await overflow(page)).map((html) => `overflow: ${html}`)];
    assert.deepEqual(found, [], `${name} has faults`);
    looked += 1;
  };
  for (const [name, path] of Object.entries(input.screens)) {
    for (const scheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme: scheme, reducedMotion: "reduce" });
      await page.setViewportSize(DESK);
      await show(path);
      await check(`${name}, ${scheme}`);
      if (scheme === "light") {
        await screenshot(name);
      } else if (input.inTheDark.includes(name)) {
        await screenshot(`${name}-dark`);
      }
    }
    await page.emulateMedia({ colorScheme: "light", reducedMotion: "reduce" });
    await page.setViewportSize(PHONE);
    await show(path);
    await check(`${name}, on a phone`);
    if (input.onThePhone.includes(name)) {
      await screenshot(`${name}-phone`);
    }
  }
  // Other words are longer; the rest is the same.
  for (const language of ["zh", "ru"]) {
    await page.evaluate((wanted) => localStorage.setItem("airlift.language", wanted), language);
    await page.setViewportSize(PHONE);
    for (const [name, path] of Object.entries(input.screens)) {
      await show(path);
      assert.equal(await page.locator("html").getAttribute("lang"), language);
      assert.deepEqual(await overflow(page), [], `${name}, ${language}, stands out`);
      looked += 1;
    }
    await page.setViewportSize(DESK);
    await show("#/");
    await screenshot(`overview-${language}`);
  }
  say(`looked at ${looked} views`);
};
