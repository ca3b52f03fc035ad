// Reads a file that may be uploaded, away from the page: its digests, and what it says of itself.

import { Decompress } from "../../vendor/fzstd.js";
import { md5, sha256 } from "../../vendor/hashes.js";
import { FRAME_HEAD_BYTES, hex, isBundle, isModest, unpack } from "./bundle.js";
import { MERGED_BYTES, check, isMerged, readHead } from "./image.js";
import { Reader } from "./reader.js";

/** @typedef {import("./image.js").Fault | "bundle" | "part_differs" | "unsigned"} Fault */
/**
 * What is known so far; what comes later is added.
 *
 * @typedef {object} Found
 * @property {number} [read] bytes
 * @property {import("./image.js").Image | null} [image]
 * @property {boolean} [isBundle]
 * @property {import("./bundle.js").Bundle} [bundle]
 * @property {import("./bundle.js").Digests[]} [parts]
 * @property {string} [md5]
 * @property {string} [sha256]
 * @property {Fault | null} [fault] comes last
 * @property {string} [unreadable] the browser's words
 */

/** @param {Found} found */
const tell = (found) => postMessage(found);

const TELL_EVERY_MS = 100;

onmessage = async ({ data: file }) => {
  try {
    await read(file);
  } catch (error) {
    tell({ unreadable: String(error) });
  }
};

/** @param {File} file */
async function read(file) {
  const head = new Uint8Array(await file.slice(0, MERGED_BYTES).arrayBuffer());
  const content = isBundle(head) ? bundleContent(head) : imageContent(head);
  const hashes = { md5: md5.create(), sha256: sha256.create() };
  const stream = file.stream().getReader();
  let read = 0;
  let told = performance.now();
  for (;;) {
    const { value, done } = await stream.read();
    if (done) {
      break;
    }
    hashes.md5.update(value);
    hashes.sha256.update(value);
    content.push(value);
    read += value.length;
    if (performance.now() - told > TELL_EVERY_MS) {
      told = performance.now();
      tell({ read });
    }
  }
  const digests = { md5: hex(hashes.md5.digest()), sha256: hex(hashes.sha256.digest()) };
  tell({ read, ...digests, fault: content.fault() });
}

/** @param {Uint8Array} head */
function imageContent(head) {
  const image = readHead(head);
  tell({ image, isBundle: false });
  const reader = new Reader(check());
  const merged = isMerged(head);
  return {
    push: (/** @type {Uint8Array} */ piece) => reader.push(piece),
    /** @returns {Fault | null} */
    fault() {
      if (head.length === 0 || merged) {
        return merged ? "merged" : "empty";
      }
      if (image === null) {
        return "none";
      }
      return reader.ended ? (reader.result ?? (image.descriptor ? null : "no_descriptor")) : "truncated";
    },
  };
}

/** @param {Uint8Array} head */
function bundleContent(head) {
  tell({ image: null, isBundle: true });
  /** @type {import("./bundle.js").Bundle | null} */
  let found = null;
  const reader = new Reader(
    unpack((bundle) => {
      found = bundle;
      tell({ bundle });
    }),
  );
  const unzip = new Decompress((piece) => reader.push(piece));
  let broken = !isModest(head.subarray(0, FRAME_HEAD_BYTES));
  return {
    push(/** @type {Uint8Array} */ piece) {
      if (broken || reader.ended) {
        return;
      }
      try {
        unzip.push(piece);
      } catch {
        broken = true;
      }
    },
    /** @returns {Fault | null} */
    fault() {
      const bundle = /** @type {import("./bundle.js").Bundle | null} */ (found);
      if (broken || !bundle || !reader.result) {
        return broken || reader.ended ? "bundle" : "truncated";
      }
      tell({ parts: reader.result });
      const said = new Map(bundle.manifest.parts.map((part) => [part.name, part.sha256]));
      if (reader.result.some((part) => said.get(part.name) !== part.sha256)) {
        return "part_differs";
      }
      return bundle.signers.length === 0 ? "unsigned" : null;
    },
  };
}
