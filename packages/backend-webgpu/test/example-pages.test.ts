// Builds the example pages and opens them in Chromium.
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { onnx } from '@sentvec/backend-onnx';
import { pairwiseSimilarity, type Matrix } from '@sentvec/core';
import { directoryModel, loadEmbedder } from '@sentvec/core/node';
import { goldenPath } from '@sentvec/testing';
import { build } from 'vite';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startBrowser } from './browser.ts';
import { startStaticServer } from './static-server.ts';

const sentences = ['The cat sleeps on the warm stove.', 'A kitten naps near the oven.'];
const example = (path: string): string => fileURLToPath(new URL(`../../../examples/${path}`, import.meta.url));

const builders: Readonly<Record<string, (folder: string) => Promise<unknown>>> = {
  'browser-vite': (outDir) =>
    build({
      root: example('browser-vite'),
      configFile: example('browser-vite/vite.config.js'),
      logLevel: 'error',
      build: { outDir, emptyOutDir: true },
    }),
  'browser-esbuild': (folder) => promisify(execFile)(process.execPath, [example('browser-esbuild/build.mjs'), folder]),
};

let folder: string;
let model: string;
let inNode: number;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sentvec-example-pages-'));
  // The backend contract runs the default model in a page. These tests are about the pages: a smaller model will do.
  model = goldenPath('models/tiny-bert');
  const embedder = await loadEmbedder(await directoryModel(model), { backend: onnx({ sessions: 1 }) });
  const { vectors } = await embedder.embed(sentences);
  await embedder.dispose();
  inNode = pairwiseSimilarity(rowOf(vectors, 0), rowOf(vectors, 1))[0]!;
});

afterAll(() => rm(folder, { recursive: true, force: true }));

function rowOf({ data, cols }: Matrix, row: number): Matrix {
  return { data: data.subarray(row * cols, (row + 1) * cols), rows: 1, cols };
}

it.each(Object.keys(builders))(
  '%s shows on WebGPU the similarity that Node computes',
  { timeout: 120_000 },
  async (name) => {
    const built = join(folder, name);
    await builders[name]!(built);
    const server = await startStaticServer({ '/': built, '/models/use-lite/': model });
    // Compiling shaders as users' browsers do is slow: one page shows that it works, the other compiles them faster.
    const browser = await startBrowser({ shadersAsShipped: name === 'browser-vite' });
    try {
      const page = await browser.newPage();
      const errors: string[] = [];
      page.on('pageerror', (error) => errors.push(error.message));
      await page.goto(
        `${server.url}?${new URLSearchParams(sentences.map((sentence) => ['sentence', sentence])).toString()}`,
      );
      await page.waitForFunction(() => document.querySelector('#similarity')!.textContent !== '…', undefined, {
        timeout: 100_000,
      });
      expect(errors).toEqual([]);
      expect(await page.textContent('#device')).toMatch(/^WebGPU \(/u);
      expect(Math.abs(Number(await page.textContent('#similarity')) - inNode)).toBeLessThan(1e-4);
    } finally {
      await browser.close();
      await server.close();
    }
  },
);
