import { fileURLToPath } from 'node:url';
import { build, defaultClientConditions } from 'vite';

/** Builds a page for production with Vite. */
export async function buildPage(page: string, outDir: string): Promise<void> {
  await build({
    configFile: false,
    root: fileURLToPath(new URL(page, import.meta.url)),
    logLevel: 'error',
    build: { outDir, emptyOutDir: true, target: 'es2022', assetsInlineLimit: 0, minify: false },
    resolve: { conditions: ['onnxruntime-web-use-extern-wasm', ...defaultClientConditions] },
  });
}
