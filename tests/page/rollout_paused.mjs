// Pause, resume and cancel, seen at the same time in the list of another window.
import assert from "node:assert/strict";

export default async ({ page, context, url, input }) => {
  const list = await context.newPage();
  await list.goto(`${url}/#/rollouts`);
  const row = list.getByRole("row").filter({ has: list.getByRole("link", { name: "Slow" }) });

  await page.goto(`${url}/#/rollouts/${input.rolloutId}`);
  await page.getByRole("heading", { name: "Slow · 1.0.2", level: 1 }).waitFor();
  const progress = page.getByRole("region", { name: "Progress" });
  await row.getByText("running").waitFor();
  await progress.getByText(/^[1-9] of 12 confirmed/).waitFor({ timeout: 60_000 });
  await page.getByRole("button", { name: "Pause" }).click();
  await progress.getByText("paused", { exact: true }).waitFor();
  await row.getByText("paused").waitFor();
  await progress.getByText("Waits: it is paused; resume lets it go on").waitFor();
  await progress.getByRole("listitem").filter({ hasText: /updating\s+0/ }).waitFor({ timeout: 60_000 });
  const left = await progress.getByRole("listitem").filter({ hasText: "waiting" }).innerText();
  assert.match(left, /waiting\s+([1-9]|10)/);
  assert.equal(await page.getByRole("button", { name: "Pause" }).count(), 0);

  const [before] = (await progress.getByRole("status").innerText()).split(" ");
  await page.getByRole("button", { name: "Resume" }).click();
  await row.getByText("running").waitFor();
  await progress.getByText(new RegExp(`^${Number(before) + 1} of 12 confirmed`)).waitFor({ timeout: 60_000 });

  await page.getByRole("button", { name: "Cancel the rollout" }).click();
  const dialog = page.getByRole("dialog", { name: "Cancel this rollout for good?" });
  await dialog.getByRole("button", { name: "Keep it" }).click();
  await dialog.waitFor({ state: "hidden" });
  await progress.getByText("running", { exact: true }).waitFor();
  await page.getByRole("button", { name: "Cancel the rollout" }).click();
  await dialog.getByRole("button", { name: "Cancel the rollout" }).click();
  await progress.getByText("cancelled", { exact: true }).first().waitFor();
  await row.getByText("cancelled").waitFor();
  for (const name of ["Pause", "Resume", "Cancel the rollout", "Retry the failed"]) {
    assert.equal(await page.getByRole("button", { name }).count(), 0, name);
  }

  await list.getByLabel("State").selectOption("running");
  await list.getByText("No rollouts here.").waitFor();
  await list.getByLabel("State").selectOption("cancelled");
  await row.waitFor();
};
