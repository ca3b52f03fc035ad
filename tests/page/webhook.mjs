// A webhook and a receiver that answers, refuses for long, and answers again.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { createServer } from "node:http";

/** Keeps what it was sent and answers as it is told. */
async function receiver() {
  const state = { status: 204, received: [] };
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const part of request) {
      body += part;
    }
    state.received.push({ headers: request.headers, body });
    response.writeHead(state.status).end();
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { state, url: `http://127.0.0.1:${server.address().port}/hook`, close: () => server.close() };
}

function isSigned({ headers, body }, secret) {
  const hmac = createHmac("sha256", secret).update(`${headers["x-airlift-timestamp"]}.${body}`).digest("hex");
  return headers["x-airlift-signature"] === `sha256=${hmac}`;
}

async function make(page, url) {
  await page.getByRole("button", { name: "New webhook" }).click();
  const form = page.getByRole("dialog", { name: "New webhook" });
  await form.getByLabel("Address").fill(url);
  for (const kind of ["task", "rollout", "firmware"]) {
    await form.getByLabel(kind, { exact: true }).click();
  }
  await form.getByRole("button", { name: "Make the webhook" }).click();
  const shown = page.getByRole("dialog", { name: url });
  const secret = await shown.getByLabel("Secret", { exact: true }).inputValue();
  await shown.getByRole("button", { name: "I have kept it" }).click();
  await page.getByRole("row", { name: url }).getByText("firmware", { exact: true }).waitFor();
  await page.getByRole("link", { name: url }).click();
  await page.getByText("There is no delivery.").waitFor();
  return secret;
}

async function ping(page, { state }, secret) {
  await page.getByRole("button", { name: "Ping" }).click();
  await page.getByText("The receiver has taken it (204).").waitFor();
  assert.ok(isSigned(state.received.at(-1), secret), "the ping is not signed with the secret that was shown");
  state.status = 503;
  await page.getByRole("button", { name: "Ping" }).click();
  await page.getByText(/\b503\b/).first().waitFor();
  await page.getByRole("button", { name: "Close" }).last().click();
}

async function upload(url) {
  const form = new FormData();
  form.set("version", "1.0.2");
  form.set("file", new Blob([Buffer.alloc(2000, 7)]), "firmware.bin");
  const answer = await fetch(`${url}/api/ota/firmware/upload`, { method: "POST", body: form });
  assert.equal(answer.status, 200, await answer.text());
}

export default async ({ page, url, ask, screenshot }) => {
  const hook = await receiver();
  try {
    await page.goto(`${url}/#/settings/webhooks`);
    const secret = await make(page, hook.url);
    await ping(page, hook, secret);

    await upload(url);
    const row = page.getByRole("row").filter({ has: page.getByRole("cell") });
    await row.getByText("waiting").waitFor();
    await row.getByText(/\b503\b/).waitFor();
    await ask("let the next attempt be the last");
    // The next one comes by itself, and so does the news of it.
    await row.getByText("given up").waitFor();
    await screenshot("webhook");
    hook.state.status = 204;
    const before = hook.state.received.length;
    await page.getByRole("button", { name: "Retry: firmware" }).click();
    await row.getByText("delivered").waitFor();
    assert.equal(hook.state.received.length, before + 1);
    assert.ok(isSigned(hook.state.received.at(-1), secret), "the delivery is not signed");

    await page.getByRole("button", { name: "Delete" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
    await page.getByText("There is no webhook.").waitFor();
  } finally {
    hook.close();
  }
};
