// A page trains a model, and its losses are those of Node.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ModelFiles } from '@sentvec/core';
import { goldenModel, goldenPath } from '@sentvec/testing';
import { graphEngine, type EngineGraphs, type TrainingEngine, type TrainingOutcome } from '@sentvec/training';
import * as onnxruntime from 'onnxruntime-node';
import type { Browser } from 'playwright-core';
import { build } from 'vite';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { startBrowser } from './browser.ts';
import { startStaticServer, type StaticServer } from './static-server.ts';

// Browsers take their time on a busy machine: no test here is about speed.
vi.setConfig({ testTimeout: 600_000, hookTimeout: 600_000 });

const example = (path: string): string =>
  fileURLToPath(new URL(`../../../examples/browser-training/${path}`, import.meta.url));

/** The script that the page runs, here in Node. */
interface TrainPairs {
  readonly trainPairs: (
    files: ModelFiles,
    openEngine: (graphs: EngineGraphs) => Promise<TrainingEngine>,
  ) => Promise<TrainingOutcome>;
}

/** Two layers, four poolings and a dense layer, all trained. */
const model = 'tiny-bert-multipool';

let folder: string;
let server: StaticServer;
let browser: Browser;
let inNode: readonly number[];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sentvec-training-page-'));
  const { trainPairs } = (await import(example('train-pairs.js'))) as TrainPairs;
  const { history } = await trainPairs(goldenModel(model), (graphs) =>
    graphEngine(onnxruntime, graphs, { name: 'onnxruntime-node' }),
  );
  inNode = history.steps.map(({ loss }) => loss);
  await build({
    root: example(''),
    configFile: example('vite.config.js'),
    logLevel: 'error',
    build: { outDir: folder, emptyOutDir: true },
  });
  server = await startStaticServer({ '/': folder, '/models/tiny/': goldenPath(`models/${model}`) });
  browser = await startBrowser();
});

afterAll(async () => {
  await browser?.close();
  await server?.close();
  await rm(folder, { recursive: true, force: true });
});

it('the losses of Node fall in 20 steps', () => {
  expect(inNode).toHaveLength(20);
  const mean = (losses: readonly number[]): number => losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
  expect(mean(inNode.slice(-4))).toBeLessThan(0.9 * mean(inNode.slice(0, 4)));
});

it.each(['wasm', 'webgpu'])('a page trains on %s with the losses of Node', async (backend) => {
  const page = await browser.newPage();
  const errors: string[] = [];
  page.on('pageerror', (error) => errors.push(error.message));
  await page.goto(`${server.url}?backend=${backend}&model=models/tiny`);
  await page.waitForFunction(() => document.querySelector('#state')!.textContent !== '…', undefined, {
    timeout: 590_000,
  });
  expect(errors).toEqual([]);
  expect(await page.textContent('#state')).toBe(`Trained on ${backend}.`);
  const losses = (await page.locator('#losses td:nth-child(2)').allTextContents()).map(Number);
  expect(losses).toHaveLength(20);
  const differences = losses.map((loss, step) => Math.abs(loss - inNode[step]!) / inNode[step]!);
  console.log(`Training on ${backend}: largest relative difference of a loss ${Math.max(...differences)}`);
  expect(Math.max(...differences)).toBeLessThan(1e-3);
  await page.close();
});
