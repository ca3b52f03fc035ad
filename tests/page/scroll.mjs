// Scrolls through all gateways and says how long frames took: by the clock, which a busy machine holds up, and by the
// processor's time of the page's main thread. Asserted is the work alone: rows, requests, and that the right ones show.
import assert from "node:assert/strict";

const PAGE_ROWS = 200;
const ROWS_PER_FRAME = 167;
const JUMPS = 20;
const ROWS_MAX = 100;
const LOADS_AT_ONCE = 2;

/** Begins to watch frames within the page, and the requests for gateways without. */
async function watch(page) {
  const requests = { all: 0, now: 0, mostAtOnce: 0 };
  const meant = (request) => new URL(request.url()).pathname === "/api/ota/gateways";
  page.on("request", (request) => {
    if (meant(request)) {
      requests.all += 1;
      requests.now += 1;
      requests.mostAtOnce = Math.max(requests.mostAtOnce, requests.now);
    }
  });
  const ended = (request) => {
    requests.now -= meant(request) ? 1 : 0;
  };
  page.on("requestfinished", ended);
  page.on("requestfailed", ended);
  await page.evaluate(() => {
    const seen = { frames: [], long: [], rowsMost: 0 };
    globalThis.seen = seen;
    const observer = new PerformanceObserver((list) => seen.long.push(...list.getEntries().map(({ duration }) => duration)));
    observer.observe({ type: "long-animation-frame" });
    const rows = document.querySelector("[role=grid]").getElementsByClassName("fleet-row");
    let before;
    const frame = (now) => {
      seen.frames.push(now - (before ?? now));
      seen.rowsMost = Math.max(seen.rowsMost, rows.length);
      before = now;
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  });
  return requests;
}

/** The longest that the page's main thread worked in one go, in milliseconds of processor time. */
async function traced(context, page, work) {
  const session = await context.newCDPSession(page);
  const events = [];
  session.on("Tracing.dataCollected", ({ value }) => events.push(...value));
  const complete = new Promise((resolve) => session.once("Tracing.tracingComplete", resolve));
  const categories = "disabled-by-default-devtools.timeline,devtools.timeline,toplevel,__metadata";
  await session.send("Tracing.start", { transferMode: "ReportEvents", traceConfig: { includedCategories: categories.split(",") } });
  await work();
  await session.send("Tracing.end");
  await complete;
  const main = events.filter(({ name, args }) => name === "thread_name" && args.name === "CrRendererMain");
  const threads = new Set(main.map(({ pid, tid }) => `${pid}/${tid}`));
  const tasks = events.filter(({ name, pid, tid, tdur }) => name === "RunTask" && tdur && threads.has(`${pid}/${tid}`));
  assert.ok(tasks.length > 100, `${tasks.length} tasks were traced`);
  return Math.max(...tasks.map(({ tdur }) => tdur)) / 1000;
}

/** Waits until each row in view shows the gateway of its place. */
const rightOnesShow = (page) =>
  page.waitForFunction(() => {
    const grid = document.querySelector("[role=grid]");
    const box = grid.getBoundingClientRect();
    const rows = [...grid.querySelectorAll("[role=rowgroup] [role=row]")].filter((row) => {
      const { top, bottom } = row.getBoundingClientRect();
      return bottom > box.top && top < box.bottom;
    });
    const right = (row) => row.querySelector("a")?.textContent === `GW-${String(row.ariaRowIndex - 2).padStart(6, "0")}`;
    return rows.length > 5 && rows.every(right);
  });

/** A screen of rows at each frame, from the first gateway to the last. */
const scrollThrough = (page, frames) =>
  page.evaluate(async (frames) => {
    const grid = document.querySelector("[role=grid]");
    const end = grid.scrollHeight - grid.clientHeight;
    for (let frame = 1; frame <= frames; frame += 1) {
      await new Promise(requestAnimationFrame);
      grid.scrollTop = (end * frame) / frames;
    }
  }, frames);

async function jump(page, share) {
  await page.evaluate((share) => {
    const grid = document.querySelector("[role=grid]");
    grid.scrollTop = (grid.scrollHeight - grid.clientHeight) * share;
  }, share);
  await rightOnesShow(page);
}

const median = (values) => values.sort((one, other) => one - other)[values.length >> 1];

/** By a browser that has none of the page's files, and by one that has them all; the server has compressed them. */
async function firstPaints(context, page, url) {
  const session = await context.newCDPSession(page);
  const load = async () => {
    await page.goto("about:blank");
    await page.goto(url);
    await page.getByRole("heading", { level: 1 }).waitFor();
    return page.evaluate(() => Math.round(performance.getEntriesByName("first-contentful-paint")[0].startTime));
  };
  const [first, cold, warm] = [await load(), [], []];
  for (let time = 0; time < 5; time += 1) {
    await session.send("Network.clearBrowserCache");
    cold.push(await load());
    warm.push(await load());
  }
  await session.detach();
  return { first, cold: median(cold), warm: median(warm) };
}

/** Down through all of them, and then wherever the scrollbar is dropped. */
async function journey(page, gateways) {
  await scrollThrough(page, Math.ceil(gateways / ROWS_PER_FRAME));
  await rightOnesShow(page);
  for (let time = 0; time < JUMPS; time += 1) {
    await jump(page, ((time * 7) % JUMPS) / JUMPS);
  }
  await jump(page, 1);
}

export default async ({ page, context, url, say, input: { gateways } }) => {
  const { first, cold, warm } = await firstPaints(context, page, url);
  say(`first paint: ${cold} ms without a cache, ${warm} ms with one (aim: under 300), ${first} ms when nobody had come before`);
  await page.goto(`${url}/#/gateways`);
  const grid = page.getByRole("grid", { name: "Gateways" });
  await grid.waitFor();
  await rightOnesShow(page);
  assert.equal(await grid.getAttribute("aria-rowcount"), String(gateways + 1));
  const requests = await watch(page);
  await journey(page, gateways);
  const { frames, long } = await page.evaluate(() => ({ ...globalThis.seen }));
  const [longest, second, third] = frames.sort((one, other) => other - one).map(Math.round);
  say(`${gateways} gateways, ${frames.length} frames drawn in software: the longest ${longest}, ${second}, ${third} ms (aim: under 50)`);
  // Tracing itself holds frames up.
  const task = await traced(context, page, () => journey(page, gateways));
  say(`frames over 50 ms by the browser's count: ${long.length}; the longest task of the page took ${task.toFixed(1)} ms of processor time`);
  const { rowsMost } = await page.evaluate(() => globalThis.seen);
  say(`${requests.all} requests, ${requests.mostAtOnce} at once at most; ${rowsMost} rows in the page at most`);
  assert.ok(rowsMost < ROWS_MAX, `${rowsMost} rows`);
  assert.ok(requests.mostAtOnce <= LOADS_AT_ONCE, `${requests.mostAtOnce} at once`);
  // Each page once on the way down, two where a jump lands on an edge; and all that twice.
  const bound = 2 * (Math.ceil(gateways / PAGE_ROWS) + 2 * (JUMPS + 2));
  assert.ok(requests.all <= bound, `${requests.all} requests, ${bound} would do`);
};
