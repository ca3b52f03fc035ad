// What a scenario has the page itself write down, while it changes.

/** Writes down each state of the bar, and each moment at which something that was shown is not. */
export async function watch(page, always) {
  await page.evaluate((always) => {
    const watched = { bar: [], gone: [], looks: 0 };
    window.watched = watched;
    const look = () => {
      watched.looks += 1;
      const bar = document.querySelector("#upgrade progress");
      if (bar) {
        const now = { state: document.querySelector("#upgrade [role=status]").textContent, value: bar.value };
        const before = watched.bar.at(-1);
        if (now.state !== before?.state || now.value !== before?.value) {
          watched.bar.push({ ...now, at: performance.now() });
        }
      }
      for (const selector of always) {
        if (!document.querySelector(selector)?.textContent.trim()) {
          watched.gone.push(selector);
        }
      }
    };
    new MutationObserver(look).observe(document.body, {
      subtree: true,
      childList: true,
      characterData: true,
      attributes: true,
    });
    const onFrame = () => {
      look();
      requestAnimationFrame(onFrame);
    };
    onFrame();
  }, always);
  return () => page.evaluate(() => window.watched);
}

/** Values in the order in which they first came. */
export const distinct = (values) => [...new Set(values)];
