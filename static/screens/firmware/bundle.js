// Signed bundles `.jota`, as docs/bundles.md has them: what the manifest says, and whose signature lies beside it.
// Whether the signature is good is for the server.

import { md5, sha256 } from "../../vendor/hashes.js";

/**
 * @typedef {object} Part
 * @property {string} name
 * @property {string} partition
 * @property {number} size
 * @property {string} sha256
 * @property {string} md5
 */
/**
 * @typedef {object} Manifest
 * @property {string} deviceType
 * @property {string} version
 * @property {string} target
 * @property {string} kind
 * @property {number} releaseCounter
 * @property {boolean} allowRollback
 * @property {string | null} minVersion
 * @property {string | null} createdAt RFC 3339
 * @property {string | null} expiresAt
 * @property {string} changelog
 * @property {Part[]} parts
 */
/** @typedef {{manifest: Manifest, signers: string[]}} Bundle the signers' fingerprints or key ids, upper-case hex */
/** @typedef {{name: string, sha256: string, md5: string}} Digests */

const BLOCK_BYTES = 512;
const MANIFEST_BYTES_MAX = 96 << 10;
const SIGNATURE_BYTES_MAX = 4 << 10;
const WINDOW_BYTES_MAX = 8 << 20;
const ZSTD_MAGIC = [0x28, 0xb5, 0x2f, 0xfd];
/** zstd's magic and frame header at their longest. */
export const FRAME_HEAD_BYTES = 18;

/** @param {Uint8Array} head */
export const isBundle = (head) => ZSTD_MAGIC.every((byte, at) => head[at] === byte);

/** Whether unpacking takes no more memory than a bundle may. @param {Uint8Array} head */
export function isModest(head) {
  const descriptor = head[4];
  const isSingleSegment = (descriptor & 0x20) !== 0;
  if (!isSingleSegment) {
    const base = 2 ** (10 + (head[5] >> 3));
    return base + (base / 8) * (head[5] & 7) <= WINDOW_BYTES_MAX;
  }
  const bytes = [1, 2, 4, 8][descriptor >> 6];
  const at = 5 + [0, 1, 2, 4][descriptor & 3];
  const size = head.subarray(at, at + bytes).reduceRight((sum, byte) => sum * 256 + byte, bytes === 2 ? 256 : 0);
  return size <= WINDOW_BYTES_MAX;
}

/** @param {Uint8Array} bytes */
export const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

/** @param {Uint8Array} bytes */
function text(bytes) {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}

/** @param {boolean} holds */
function demand(holds) {
  if (!holds) {
    throw new Error("not a bundle");
  }
}

/**
 * Goes over the archive within a bundle; the digests of its parts.
 *
 * @param {(bundle: Bundle) => void} onHead called when manifest and signature are read
 * @returns {import("./reader.js").Script<Digests[]>}
 */
export function* unpack(onHead) {
  let member = yield* header();
  demand(member?.name === "manifest.json" && member.size <= MANIFEST_BYTES_MAX);
  const manifest = readManifest(yield* content(member));
  member = yield* header();
  /** @type {string[]} */
  let signers = [];
  if (member?.name === "manifest.json.asc") {
    demand(member.size <= SIGNATURE_BYTES_MAX);
    signers = readSigners(yield* content(member));
    member = yield* header();
  }
  onHead({ manifest, signers });
  const digests = [];
  for (const part of manifest.parts) {
    demand(member?.name === part.name && member.size === part.size);
    digests.push(yield* digest(member));
    member = yield* header();
  }
  demand(member === null);
  return digests;
}

/** @typedef {{name: string, size: number}} Member */

/** The next member's; null at the archive's end. @returns {import("./reader.js").Script<Member | null>} */
function* header() {
  const block = yield { length: BLOCK_BYTES };
  if (block.every((byte) => byte === 0)) {
    return null;
  }
  const size = text(block.subarray(124, 136)).trim();
  demand(/^[0-7]+$/.test(size));
  return { name: text(block.subarray(0, 100)), size: parseInt(size, 8) };
}

/** @param {Member | null} member */
const padding = (member) => ({ length: (BLOCK_BYTES - ((member?.size ?? 0) % BLOCK_BYTES)) % BLOCK_BYTES });

/** @param {Member | null} member @returns {import("./reader.js").Script<Uint8Array>} */
function* content(member) {
  const bytes = yield { length: member?.size ?? 0 };
  yield padding(member);
  return bytes;
}

/** @param {Member | null} member @returns {import("./reader.js").Script<Digests>} */
function* digest(member) {
  const hashes = { sha256: sha256.create(), md5: md5.create() };
  yield {
    length: member?.size ?? 0,
    each: (piece) => {
      hashes.sha256.update(piece);
      hashes.md5.update(piece);
    },
  };
  yield padding(member);
  return { name: member?.name ?? "", sha256: hex(hashes.sha256.digest()), md5: hex(hashes.md5.digest()) };
}

/** @param {Uint8Array} bytes @returns {Manifest} */
function readManifest(bytes) {
  const said = JSON.parse(new TextDecoder().decode(bytes));
  demand(said?.schema === 1 && Array.isArray(said.parts));
  const time = (/** @type {unknown} */ seconds) => {
    const at = new Date(Number(seconds) * 1000);
    return seconds === undefined || isNaN(at.getTime()) ? null : at.toISOString();
  };
  return {
    deviceType: String(said.deviceType),
    version: String(said.version),
    target: String(said.target),
    kind: String(said.kind),
    releaseCounter: Number(said.releaseCounter),
    allowRollback: said.allowRollback === true,
    minVersion: said.minVersion === undefined ? null : String(said.minVersion),
    createdAt: time(said.createdAt),
    expiresAt: time(said.expiresAt),
    changelog: String(said.changelog ?? ""),
    parts: said.parts.map((/** @type {any} */ part) => ({
      name: String(part?.name),
      partition: String(part?.partition),
      size: Number(part?.size),
      sha256: String(part?.sha256),
      md5: String(part?.md5),
    })),
  };
}

const ARMOR = /-----BEGIN PGP SIGNATURE-----[^\n]*\n(?:[^\n]*:[^\n]*\n)*\s*([A-Za-z0-9+/=\s]*?)(?:\n=[A-Za-z0-9+/]{4})?\s*-----END/g;

/** Whom the signatures of a file, armored or binary, name as their makers. @param {Uint8Array} file */
export function readSigners(file) {
  /** @type {string[]} */
  const signers = [];
  try {
    if (file[0] >= 0x80) {
      readPackets(file, signers);
    }
    for (const [, base64] of new TextDecoder().decode(file).matchAll(ARMOR)) {
      readPackets(Uint8Array.from(atob(base64.replace(/\s/g, "")), (letter) => letter.charCodeAt(0)), signers);
    }
  } catch {
    // What can't be read names nobody; the server says what is wrong with it.
  }
  return signers;
}

/**
 * OpenPGP's packets (RFC 9580, section 4), old and new format.
 *
 * @param {Uint8Array} bytes
 * @param {string[]} signers
 */
function readPackets(bytes, signers) {
  let at = 0;
  const number = (/** @type {number} */ octets) => {
    let value = 0;
    for (let each = 0; each < octets; each += 1) {
      value = value * 256 + bytes[at++];
    }
    return value;
  };
  while (at < bytes.length) {
    const head = bytes[at++];
    const isNew = (head & 0x40) !== 0;
    const length = isNew ? length255(number) : number(2 ** (head & 3));
    const signature = bytes.subarray(at, at + length);
    if ((isNew ? head & 0x3f : (head >> 2) & 0xf) === 2 && signature[0] === 4) {
      const signer = readIssuer(signature);
      if (signer) {
        signers.push(signer);
      }
    }
    at += length;
  }
}

/** @param {(octets: number) => number} number */
function length255(number) {
  const first = number(1);
  if (first < 192) {
    return first;
  }
  return first === 255 ? number(4) : (first - 192) * 256 + number(1) + 192;
}

const ISSUER = 16;
const ISSUER_FINGERPRINT = 33;

/** @param {Uint8Array} signature of version 4 */
function readIssuer(signature) {
  const hashedBytes = signature[4] * 256 + signature[5];
  const end = 6 + hashedBytes;
  const unhashedBytes = signature[end] * 256 + signature[end + 1];
  const hashed = subpackets(signature.subarray(6, end));
  const all = [...hashed, ...subpackets(signature.subarray(end + 2, end + 2 + unhashedBytes))];
  const fingerprint = hashed.find(({ kind }) => kind === ISSUER_FINGERPRINT);
  const issuer = fingerprint?.value.subarray(1) ?? all.find(({ kind }) => kind === ISSUER)?.value;
  return issuer ? hex(issuer).toUpperCase() : null;
}

/** @param {Uint8Array} area */
function subpackets(area) {
  const found = [];
  let at = 0;
  const number = (/** @type {number} */ octets) => {
    let value = 0;
    for (let each = 0; each < octets; each += 1) {
      value = value * 256 + area[at++];
    }
    return value;
  };
  while (at < area.length) {
    const length = length255(number);
    if (!(length > 0)) {
      break;
    }
    found.push({ kind: area[at] & 0x7f, value: area.subarray(at + 1, at + length) });
    at += length;
  }
  return found;
}
