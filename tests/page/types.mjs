// Checks the types of the page's scripts, the API's by its OpenAPI description.
//   node types.mjs STATIC_FOLDER OPENAPI_FILE
import { spawnSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import openapi, { astToString } from "openapi-typescript";

const [pages, description] = process.argv.slice(2).map((each) => resolve(each));
const modules = join(import.meta.dirname, "node_modules");
const folder = await mkdtemp(join(tmpdir(), "airlift-types-"));
const api = join(folder, "api.d.ts");
await writeFile(api, astToString(await openapi(JSON.parse(await readFile(description, "utf8")))));
const settings = {
  compilerOptions: {
    allowJs: true,
    checkJs: true,
    lib: ["ES2024", "DOM", "DOM.Iterable", "WebWorker.ImportScripts"],
    module: "ESNext",
    moduleResolution: "Bundler",
    noEmit: true,
    noUnusedLocals: true,
    noUnusedParameters: true,
    paths: {
      "airlift-api": [api],
      "@noble/*": [join(modules, "@noble/*")],
      fzstd: [join(modules, "fzstd")],
      marked: [join(modules, "marked")],
      preact: [join(modules, "preact")],
      "preact/*": [join(modules, "preact/*")],
      uplot: [join(modules, "uplot")],
    },
    skipLibCheck: true,
    strict: true,
    target: "ES2024",
    types: [],
  },
  include: [`${pages}/**/*.js`, `${pages}/**/*.d.ts`],
  exclude: [`${pages}/vendor/*.js`],
};
await writeFile(join(folder, "tsconfig.json"), JSON.stringify(settings));
const { status } = spawnSync(process.execPath, [join(modules, "typescript/bin/tsc"), "--project", folder], {
  stdio: "inherit",
});
await rm(folder, { recursive: true });
process.exit(status ?? 1);
