// A session that ends while the page is open leads to the login, and back.

export default async ({ page, url, ask, input }) => {
  const logIn = async () => {
    await page.getByLabel("Name").fill("ann");
    await page.getByLabel("Password").fill(input.password);
    await page.getByRole("button", { name: "Log in", exact: true }).click();
  };
  await page.goto(`${url}/#/rollouts`);
  await logIn();
  await page.getByRole("heading", { name: "Rollouts", level: 1 }).waitFor();
  await page.context().clearCookies();
  await ask("restart");
  await page.getByRole("heading", { name: "Log in" }).waitFor();
  await logIn();
  await page.getByRole("heading", { name: "Rollouts", level: 1 }).waitFor();
};
