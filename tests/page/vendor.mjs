// Writes static/vendor: each library as one minified ES module, beside its licence.
//   node vendor.mjs FOLDER
import { copyFile, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { build } from "esbuild";

const require = createRequire(import.meta.url);
const folder = process.argv[2];

const modules = {
  preact: {
    packages: ["preact", "htm"],
    source: `import { h } from "preact"; import htm from "htm";
      export * from "preact"; export * from "preact/hooks"; export const html = htm.bind(h);`,
    types: `export * from "preact";
export * from "preact/hooks";
export const html: (strings: TemplateStringsArray, ...values: any[]) => import("preact").VNode;`,
  },
  uplot: { packages: ["uplot"], source: `export { default } from "uplot";` },
  marked: { packages: ["marked"], source: `export { lexer } from "marked";` },
  hashes: {
    packages: ["@noble/hashes"],
    source: `export { sha256 } from "@noble/hashes/sha2.js";
export { md5 } from "@noble/hashes/legacy.js";`,
  },
  fzstd: { packages: ["fzstd"], source: `export { Decompress } from "fzstd";` },
};

async function packageFolder(name) {
  let current = dirname(require.resolve(name));
  for (;;) {
    try {
      const about = JSON.parse(await readFile(join(current, "package.json"), "utf8"));
      if (about.name === name) {
        return { current, about };
      }
    } catch (error) {
      if (error.code !== "ENOENT") {
        throw error;
      }
    }
    current = dirname(current);
  }
}

await rm(folder, { recursive: true, force: true });
await mkdir(join(folder, "licences"), { recursive: true });
const table = [];
for (const [name, { packages, source, types }] of Object.entries(modules)) {
  await build({
    stdin: { contents: source, resolveDir: import.meta.dirname },
    outfile: join(folder, `${name}.js`),
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    legalComments: "inline",
    logLevel: "warning",
  });
  await writeFile(join(folder, `${name}.d.ts`), `${types ?? source}\n`);
  for (const each of packages) {
    const { current, about } = await packageFolder(each);
    await copyFile(join(current, "LICENSE"), join(folder, "licences", `${basename(each)}.txt`));
    table.push(`| \`${name}.js\` | ${about.name} ${about.version} | ${about.license} |`);
  }
}
const { current } = await packageFolder("uplot");
await copyFile(join(current, "dist/uPlot.min.css"), join(folder, "uplot.css"));
await writeFile(
  join(folder, "README.md"),
  `# Libraries of the page

Made by \`node vendor.mjs\` of \`tests/page\`, from npm's packages of the versions named there; not edited by hand.

| File | Package | Licence |
|---|---|---|
${table.join("\n")}
`,
);
