export { sha256 } from "@noble/hashes/sha2.js";
export { md5 } from "@noble/hashes/legacy.js";
