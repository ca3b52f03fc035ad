// Whether the scripts of two folders are the same programs, whatever their comments and blanks.
//   node same_program.mjs FOLDER OTHER_FOLDER
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { transform } from "esbuild";

const [folder, other] = process.argv.slice(2);
const names = (await readdir(other, { recursive: true })).filter((name) => name.endsWith(".js"));
assert.ok(names.length > 10, `${names.length} scripts`);
for (const name of names) {
  const program = async (from) =>
    (await transform(await readFile(join(from, name), "utf8"), { minify: true, format: "esm" })).code;
  assert.equal(await program(other), await program(folder), name);
}
