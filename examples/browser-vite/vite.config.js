import { defaultClientConditions, defineConfig } from 'vite';

// Threads share memory, which browsers allow to isolated pages only. Whatever serves the built page must send these
// headers, too.
const isolation = { 'cross-origin-opener-policy': 'same-origin', 'cross-origin-embedder-policy': 'require-corp' };

export default defineConfig({
  base: './',
  build: { target: 'es2022', assetsInlineLimit: 0 },
  // onnxruntime-web then leaves its WebAssembly to the page, which hands both files over as `wasmPaths`.
  resolve: { conditions: ['onnxruntime-web-use-extern-wasm', ...defaultClientConditions] },
  server: { headers: isolation },
  preview: { headers: isolation },
});
