// Files for the page, as a reader gives them.

/** Drags files of this machine over the page and lets them fall on `target`. */
export async function drag(page, target, files) {
  const { x, y, width, height } = await target.boundingBox();
  const session = await page.context().newCDPSession(page);
  const data = { items: [], files, dragOperationsMask: 1 };
  const at = { x: x + width / 2, y: y + height / 2, data };
  for (const type of ["dragEnter", "dragOver", "drop"]) {
    await session.send("Input.dispatchDragEvent", { type, ...at });
  }
  await session.detach();
}

/** Chooses files by the button. */
export async function choose(page, files) {
  const chooser = page.waitForEvent("filechooser");
  await page.getByRole("button", { name: "Choose files" }).click();
  await (await chooser).setFiles(files);
}

/** The value of a name in a list of facts. */
export const fact = (within, name) =>
  within.locator("dt").filter({ hasText: new RegExp(`^${name}$`) }).locator("xpath=following-sibling::dd[1]");
