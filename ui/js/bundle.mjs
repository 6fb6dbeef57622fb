// Bundles scripts and styles, names every file by its hash, writes index.html and compresses everything beforehand.
// Run by build.sh in its work folder: node js/bundle.mjs FACE OUT PROFILE. Prints the size of the whole, compressed.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { basename, extname, join, relative, resolve } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { build } from "esbuild";

const [face, out, profile] = process.argv.slice(2);
const assets = join(out, "assets");
mkdirSync(assets, { recursive: true });

const place = (file, stem = basename(file, extname(file))) => {
  const bytes = readFileSync(file);
  const hash = createHash("sha256").update(bytes).digest("hex").slice(0, 10);
  const name = `assets/${stem}-${hash}${extname(file)}`;
  writeFileSync(join(out, name), bytes);
  return name;
};

const wasm = place(`${face}/app_bg.wasm`, "app");
const icon = place("js/icon.svg");
const common = {
  bundle: true,
  minify: true,
  outdir: assets,
  entryNames: "[name]-[hash]",
  assetNames: "[name]-[hash]",
  loader: { ".woff2": "file" },
  target: ["chrome111", "firefox121", "safari16.4"],
  legalComments: "none",
  metafile: true,
  logLevel: "warning",
};
const outputs = async (options) =>
  Object.entries((await build({ ...common, ...options })).metafile.outputs).map(([file, { entryPoint }]) => ({
    name: relative(out, file),
    entryPoint,
  }));
const script = await outputs({
  entryPoints: { app: "js/entry.js" },
  format: "esm",
  define: { WASM_URL: JSON.stringify(`/${wasm}`) },
  alias: { "program": resolve(face, "app.js") },
});
const theme = await outputs({ entryPoints: { theme: "js/theme.js" }, format: "iife" });
const style = await outputs({ entryPoints: { app: "styles/bundle.css" } });

const names = {
  wasm,
  icon,
  app: script.find((file) => file.entryPoint).name,
  theme: theme.find((file) => file.entryPoint).name,
  style: style.find((file) => file.entryPoint).name,
  font: style.find((file) => /inter-latin-wght-normal/.test(file.name)).name,
};
writeFileSync(
  join(out, "index.html"),
  readFileSync("index.html", "utf8").replace(/\{\{(\w+)\}\}/g, (_, key) => names[key]),
);

// A quick build is for looking, not for measuring: its wasm is many times larger.
const quality = profile === "dev" ? 3 : 11;
let raw = 0;
let small = 0;
for (const file of [join(out, "index.html"), ...readdirSync(assets).map((name) => join(assets, name))]) {
  const bytes = readFileSync(file);
  raw += bytes.length;
  if (extname(file) === ".woff2") {
    small += bytes.length;
    continue;
  }
  const brotli = brotliCompressSync(bytes, {
    params: { [constants.BROTLI_PARAM_QUALITY]: quality, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length },
  });
  small += brotli.length;
  writeFileSync(`${file}.br`, brotli);
  writeFileSync(`${file}.gz`, gzipSync(bytes, { level: profile === "dev" ? 1 : 9 }));
}
const kilo = (bytes) => `${Math.ceil(bytes / 1000)} kB`;
console.log(`${face} ${kilo(small)} with Brotli (${kilo(raw)} plain), profile ${profile}`);
