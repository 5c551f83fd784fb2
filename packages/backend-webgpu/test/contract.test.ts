// The contract of backends in Chromium, on WebGPU and on WebAssembly, and what only a page can show.
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { onnx } from '@sentvec/backend-onnx';
import { loadEmbedder } from '@sentvec/core/node';
import { goldenExpectation, goldenFiles } from '@sentvec/testing';
import { backendChecks } from '@sentvec/testing/backend-checks';
import { webgpu } from '@sentvec/backend-webgpu';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { openContractPage, type ContractPage } from './contract-page.ts';
import type { EmbedRequest, EmbedReport } from './contract-page/main.ts';

// Browsers take their time on a busy machine: no test here is about speed.
vi.setConfig({ testTimeout: 600_000, hookTimeout: 600_000 });

/** Absolute, for float32: on a CPU, and on a GPU. */
const tolerances = { wasm: 1e-5, webgpu: 1e-4 } as const;
const backends = ['wasm', 'webgpu'] as const;

let contract: ContractPage;
let page: Page;

beforeAll(async () => {
  contract = await openContractPage();
  page = await contract.open();
});
afterAll(() => contract?.close());

const embed = async (request: EmbedRequest): Promise<EmbedReport> => {
  const report = await page.evaluate((each) => window.embed(each), request);
  if ('code' in report) throw new Error(report.message);
  return report;
};

/** The largest difference of an entry; infinite when the sizes differ. */
function largestDifference(found: readonly (readonly number[])[], expected: readonly (readonly number[])[]): number {
  const [a, b] = [found.flat(), expected.flat()];
  return a.length === b.length
    ? a.reduce((most, entry, index) => Math.max(most, Math.abs(entry - b[index]!)), 0)
    : Infinity;
}

it('the page is isolated and computes on an adapter of WebGPU', async () => {
  expect(await page.evaluate(() => crossOriginIsolated)).toBe(true);
  const availability = await page.evaluate(() => window.backends['webgpu']!().isAvailable());
  expect(availability).toEqual({ available: true, device: expect.stringMatching(/^WebGPU \(/u) });
});

describe.each(backends)('backend contract of %s in Chromium', (backend) => {
  it.each(backendChecks(webgpu(), goldenFiles).map(({ name }) => name))('%s', async (name) => {
    const failure = await page.evaluate(([kind, check]) => window.check(kind!, check!), [backend, name]);
    expect(failure).toBeUndefined();
  });
});

describe.each([
  ['the default model', 'use-lite'],
  ['a folder trained from one with a self-check and ONNX files of its own', 'trained'],
] as const)('%s', (__, name) => {
  const texts = ['A cat sleeps on the stove.', 'Two kittens nap near the oven while it snows outside.', 'Stocks fell.'];
  let inNode: readonly (readonly number[])[];

  beforeAll(async () => {
    const embedder = await loadEmbedder(contract.modelFolder(name), { backend: onnx({ sessions: 1 }) });
    const { vectors } = await embedder.embed(texts);
    await embedder.dispose();
    inNode = texts.map((_, row) => [...vectors.data.subarray(row * vectors.cols, (row + 1) * vectors.cols)]);
  });

  it.each(backends)('gives on %s the vectors of Node', async (backend) => {
    const { vectors, selfCheck } = await embed({ backend, model: `/models/${name}/`, texts });
    expect(selfCheck).toMatchObject({ state: 'passed', reference: 'stored' });
    console.log(`self-check of ${name} in Chromium, ${backend}: ${JSON.stringify(selfCheck)}`);
    expect(largestDifference(vectors, inNode)).toBeLessThan(tolerances[backend]);
  });
});

describe('on the GPU', () => {
  it('leaves the token embeddings there and reads back only a vector for each text', async () => {
    const { cases, dimension } = goldenExpectation('tiny-bert');
    const texts = cases.map(({ text }) => text);
    const report = await embed({ backend: 'webgpu', model: '/goldens/models/tiny-bert/', texts });
    expect(report.outputLocations).toEqual(['gpu-buffer']);
    expect(report.bytesRead).toBe(texts.length * dimension * 4);
    const expected = cases.map(({ embedding }) => embedding);
    expect(largestDifference(report.vectors, expected)).toBeLessThan(tolerances.webgpu);
  });

  it('refuses weights of 16 bits where the device cannot compute with them; WebAssembly accepts them', async () => {
    const files = (await contract.listModel('table')).filter((path) => path !== 'onnx/model.onnx');
    const request = { model: '/models/table/', texts: ['A cat sleeps.'], variant: 'model_fp16', files };
    expect(await page.evaluate((each) => window.embed(each), { ...request, backend: 'webgpu' })).toEqual({
      code: 'backend-unavailable',
      message: expect.stringMatching(/model_fp16\.onnx holds 16-bit floats.*shader-f16/u),
    });
    const { vectors } = await embed({ ...request, backend: 'wasm' });
    expect(vectors).toEqual((await embed({ backend: 'wasm', model: '/models/table/', texts: request.texts })).vectors);
  });

  it("computes on a device of the page's own, and does not destroy it", async () => {
    const submits = await page.evaluate(async () => {
      const device = await (await navigator.gpu.requestAdapter())!.requestDevice();
      window.ownDevice = device;
      const calls = { count: 0 };
      const submit = device.queue.submit.bind(device.queue);
      device.queue.submit = ((commands: Iterable<GPUCommandBuffer>) => {
        calls.count++;
        return submit(commands);
      }) as typeof submit;
      await window.embed({ backend: 'own', model: '/models/table/', texts: ['A cat sleeps.'] });
      await device.queue.onSubmittedWorkDone();
      const lost = await Promise.race([device.lost.then(() => true), Promise.resolve(false)]);
      return lost ? 0 : calls.count;
    });
    expect(submits).toBeGreaterThan(0);
  });
});

it('a model in Cache storage is downloaded once for each version, with progress', async () => {
  const request = { backend: 'wasm', model: '/models/table/', texts: ['A cat sleeps.'] };
  const downloaded = async (version: string): Promise<Map<string, EmbedReport['progress'][number]>> =>
    new Map((await embed({ ...request, version })).progress.map((each) => [each.file, each]));
  const first = await downloaded('1');
  const size = async (path: string): Promise<number> => (await stat(join(contract.modelFolder('table'), path))).size;
  for (const path of ['onnx/model.onnx', 'tokenizer.json', 'config.json']) {
    expect(first.get(path)).toEqual({ file: path, loadedBytes: await size(path), totalBytes: await size(path) });
  }
  // On the second visit the server is asked nothing, so that it also works without a network.
  const requests: string[] = [];
  const note = (each: { url(): string }): void => void requests.push(each.url());
  page.on('request', note);
  expect([...(await downloaded('1')).keys()]).toEqual([]);
  page.off('request', note);
  expect(requests).toEqual([]);
  expect([...(await downloaded('2')).keys()].sort()).toEqual([...first.keys()].sort());
});
