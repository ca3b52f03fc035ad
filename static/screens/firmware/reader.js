// Reads a stream by a script: a generator that says how many bytes it wants next.

/** `each` gets them piece by piece; without it they are the answer. */
/** @typedef {{length: number, each?: (piece: Uint8Array) => void}} Want */
/**
 * @template Result
 * @typedef {Generator<Want, Result, Uint8Array>} Script
 */

const NOTHING = new Uint8Array();

/** @template Result */
export class Reader {
  #script;
  #left = 0;
  /** @type {Want} */
  #want = { length: 0 };
  #kept = NOTHING;
  ended = false;
  /** @type {Result | undefined} what the script returned, once it has */
  result;

  /** @param {Script<Result>} script */
  constructor(script) {
    this.#script = script;
    this.#advance();
  }

  /** @param {Uint8Array} bytes */
  push(bytes) {
    let at = 0;
    while (at < bytes.length && !this.ended) {
      const piece = bytes.subarray(at, at + this.#left);
      if (this.#want.each) {
        this.#want.each(piece);
      } else {
        this.#kept.set(piece, this.#want.length - this.#left);
      }
      at += piece.length;
      this.#left -= piece.length;
      if (this.#left === 0) {
        this.#advance();
      }
    }
  }

  #advance() {
    while (this.#left === 0 && !this.ended) {
      const { value, done } = this.#script.next(this.#kept);
      if (done) {
        this.ended = true;
        this.result = value;
      } else {
        this.#want = value;
        this.#left = value.length;
        this.#kept = value.each ? NOTHING : new Uint8Array(value.length);
      }
    }
  }
}
