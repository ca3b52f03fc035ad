// Runs one scenario in Chromium: node browser.mjs SCENARIO, what it needs as JSON in AIRLIFT_SCENARIO.
//
// A scenario is a module whose default export takes {page, context, url, say, ask, screenshot, input}. It fails by
// throwing; so does an error on the page's console, and anything that the Content-Security-Policy stopped.
import { createInterface } from "node:readline/promises";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const input = JSON.parse(process.env.AIRLIFT_SCENARIO);
const profile = await mkdtemp(join(tmpdir(), "airlift-chromium-"));
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Prints a line of the test's output. */
const say = (text) => console.log(text);

/** Has the test, which holds the processes, do something; its answer. */
async function ask(what) {
  console.log(`@ask ${what}`);
  const { value, done } = await lines.next();
  if (done) {
    throw new Error(`nobody answered ${what}`);
  }
  return JSON.parse(value);
}

const context = await chromium.launchPersistentContext(profile, {
  executablePath: input.chromium,
  headless: true,
  viewport: { width: 1280, height: 800 },
  locale: "en-GB",
  timezoneId: "Europe/Berlin",
  colorScheme: "light",
  reducedMotion: "reduce",
  ...input.context,
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
});
const faults = [];
context.on("weberror", (error) => faults.push(`uncaught: ${error.error().stack}`));
context.on("console", (message) => {
  const text = message.text();
  // A server that is away, or refuses, is what scenarios are about.
  const expected = /Failed to load resource|net::ERR_/.test(text) && !/Content Security Policy/.test(text);
  if (message.type() === "error" && !expected) {
    faults.push(`console: ${text}`);
  }
});
const page = context.pages()[0];
page.setDefaultTimeout(input.patience ?? 30_000);

/** Keeps a picture of the page, as docs/screens has them. */
async function screenshot(name, options = {}) {
  await mkdir(input.screenshots, { recursive: true });
  await page.screenshot({ path: join(input.screenshots, `${name}.png`), animations: "disabled", ...options });
}

try {
  const scenario = await import(pathToFileURL(join(import.meta.dirname ?? ".", `${process.argv[2]}.mjs`)));
  await scenario.default({ page, context, url: input.url, say, ask, screenshot, input });
  if (faults.length > 0) {
    throw new Error(`the page complained:\n${faults.join("\n")}`);
  }
} catch (error) {
  console.error(error.stack ?? error);
  if (faults.length > 0) {
    console.error(faults.join("\n"));
  }
  console.error(`the page was at ${page.url()} and showed:\n${await page.locator("body").innerText().catch(() => "nothing")}`);
  process.exitCode = 1;
} finally {
  await context.close();
  await rm(profile, { recursive: true, force: true });
  process.stdin.destroy();
}
