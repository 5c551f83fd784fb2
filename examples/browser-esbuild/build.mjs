// Usage: node build.mjs FOLDER. Writes the page, ready to be served, to FOLDER. The server must send the headers for
// cross-origin isolation; see ../browser-vite.
import { copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const outdir = process.argv[2];
const here = (file) => fileURLToPath(new URL(file, import.meta.url));

await mkdir(outdir, { recursive: true });
await build({
  entryPoints: [here('main.js')],
  outdir,
  bundle: true,
  format: 'esm',
  target: 'es2022',
  minify: true,
  // With this condition, onnxruntime-web does not bundle its WebAssembly; the page passes the URLs.
  conditions: ['onnxruntime-web-use-extern-wasm', 'browser', 'module'],
});
await copyFile(here('index.html'), join(outdir, 'index.html'));
for (const file of ['ort-wasm-simd-threaded.asyncify.mjs', 'ort-wasm-simd-threaded.asyncify.wasm']) {
  await copyFile(fileURLToPath(import.meta.resolve(`onnxruntime-web/${file}`)), join(outdir, file));
}
