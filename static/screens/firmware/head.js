// What an image on the server says of itself, by its first bytes.

import { Failure } from "../../core/api.js";
import { HEAD_BYTES, readHead } from "./image.js";

/**
 * @param {import("../../core/types.js").Firmware} firmware
 * @param {AbortSignal} signal
 */
export async function fetchImage({ fileUrl }, signal) {
  const path = new URL(fileUrl, location.href).pathname;
  const answer = await fetch(path, { headers: { Range: `bytes=0-${HEAD_BYTES - 1}` }, signal });
  if (!answer.ok) {
    const { message } = await answer.json().catch(() => ({ message: answer.statusText }));
    throw new Failure(message, answer.status);
  }
  return { image: readHead(new Uint8Array(await answer.arrayBuffer())) };
}
