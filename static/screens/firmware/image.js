// Application images of ESP-IDF: what they say of themselves, and whether they are whole. As in crates/esp.
//
// Source: ESP-IDF, "App Image Format".

import { sha256 } from "../../vendor/hashes.js";

/** @typedef {"empty" | "none" | "merged" | "segments" | "checksum" | "no_hash" | "hash" | "truncated" | "no_descriptor"} Fault */
/**
 * @typedef {object} Image
 * @property {number} chipId
 * @property {string | null} chip null: not one of those known here
 * @property {string | null} minRevision of the chip; null: any
 * @property {Descriptor | null} descriptor
 */
/**
 * @typedef {object} Descriptor
 * @property {string} version
 * @property {string} project
 * @property {string} idf
 * @property {string} compiled
 * @property {number} secureVersion
 */

const MAGIC = 0xe9;
const PADDING = 0xff;
const HEADER_BYTES = 24;
const SEGMENT_HEADER_BYTES = 8;
const SEGMENTS_MAX = 16;
const SEGMENT_BYTES_END = 16 << 20;
const BLOCK_BYTES = 16;
const DESCRIPTOR_AT = HEADER_BYTES + SEGMENT_HEADER_BYTES;
const DESCRIPTOR_MAGIC = 0xabcd5432;
const DESCRIPTOR_BYTES = 256;
/** Header and descriptor. */
export const HEAD_BYTES = DESCRIPTOR_AT + DESCRIPTOR_BYTES;

const BOOTLOADERS_AT = [0x1000, 0x2000];
const TABLE_FIRST = 0x7000;
const TABLE_LAST = 0x10000;
const TABLE_STEP = 0x1000;
const ENTRY_BYTES = 32;
/** As much of a file as tells whether it is merged. */
export const MERGED_BYTES = TABLE_LAST + ENTRY_BYTES + 2;

/** @type {Record<number, string>} */
const CHIPS = {
  0: "ESP32",
  2: "ESP32-S2",
  5: "ESP32-C3",
  9: "ESP32-S3",
  12: "ESP32-C2",
  13: "ESP32-C6",
  16: "ESP32-H2",
  18: "ESP32-P4",
  0xf001: "QEMU's virt",
};

/** @param {Uint8Array} bytes */
const view = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** The text up to the first NUL. @param {Uint8Array} bytes */
function text(bytes) {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}

/**
 * @param {Uint8Array} head the file's beginning
 * @returns {Image | null} null: no image
 */
export function readHead(head) {
  if (head.length < HEADER_BYTES || head[0] !== MAGIC) {
    return null;
  }
  const chipId = view(head).getUint16(12, true);
  const revision = view(head).getUint16(15, true);
  return {
    chipId,
    chip: CHIPS[chipId] ?? null,
    minRevision: revision === 0 ? null : `v${Math.floor(revision / 100)}.${revision % 100}`,
    descriptor: head.length < HEAD_BYTES ? null : readDescriptor(head.subarray(DESCRIPTOR_AT)),
  };
}

/** @param {Uint8Array} bytes @returns {Descriptor | null} */
function readDescriptor(bytes) {
  if (view(bytes).getUint32(0, true) !== DESCRIPTOR_MAGIC) {
    return null;
  }
  const field = (/** @type {number} */ at, /** @type {number} */ length) => text(bytes.subarray(at, at + length));
  return {
    secureVersion: view(bytes).getUint32(4, true),
    version: field(16, 32),
    project: field(48, 32),
    compiled: `${field(96, 16)} ${field(80, 16)}`.trim(),
    idf: field(112, 32),
  };
}

/**
 * Whether bootloader, partition table and application are in one file, for flashing by cable.
 *
 * @param {Uint8Array} head
 */
export function isMerged(head) {
  if (head[0] === PADDING) {
    return BOOTLOADERS_AT.some((at) => head[at] === MAGIC && head.subarray(0, at).every((byte) => byte === PADDING));
  }
  for (let at = TABLE_FIRST; head[0] === MAGIC && at <= TABLE_LAST; at += TABLE_STEP) {
    if (beginsTable(head.subarray(at, at + ENTRY_BYTES + 2))) {
      return true;
    }
  }
  return false;
}

/** @param {Uint8Array} entry a partition, and the magic of what follows it */
function beginsTable(entry) {
  if (entry.length < ENTRY_BYTES + 2 || view(entry).getUint16(0, true) !== 0x50aa) {
    return false;
  }
  const offset = view(entry).getUint32(4, true);
  const size = view(entry).getUint32(8, true);
  const label = text(entry.subarray(12, 28));
  const next = view(entry).getUint16(ENTRY_BYTES, true);
  return /^[ -~]+$/.test(label) && offset > 0 && offset % TABLE_STEP === 0 && size > 0 && [0x50aa, 0xebeb, 0xffff].includes(next);
}

/**
 * Goes over a whole image; what is wrong with it.
 *
 * @returns {import("./reader.js").Script<Fault | null>}
 */
export function* check() {
  const hash = sha256.create();
  let position = 0;
  let checksum = 0xef;
  /** @param {number} length @returns {import("./reader.js").Script<Uint8Array>} */
  function* take(length) {
    const bytes = yield { length };
    hash.update(bytes);
    position += length;
    return bytes;
  }
  const header = yield* take(HEADER_BYTES);
  const [magic, segments] = header;
  if (magic !== MAGIC) {
    return "none";
  }
  if (segments < 1 || segments > SEGMENTS_MAX) {
    return "segments";
  }
  for (let each = 0; each < segments; each += 1) {
    const length = view(yield* take(SEGMENT_HEADER_BYTES)).getUint32(4, true);
    if (length % 4 !== 0 || length >= SEGMENT_BYTES_END) {
      return "segments";
    }
    yield {
      length,
      each: (piece) => {
        hash.update(piece);
        checksum = piece.reduce((sum, byte) => sum ^ byte, checksum);
      },
    };
    position += length;
  }
  const padding = yield* take(BLOCK_BYTES - (position % BLOCK_BYTES));
  if (padding.at(-1) !== checksum) {
    return "checksum";
  }
  if (header[HEADER_BYTES - 1] !== 1) {
    return "no_hash";
  }
  const wanted = hash.digest();
  const found = yield { length: wanted.length };
  return found.every((byte, at) => byte === wanted[at]) ? null : "hash";
}
