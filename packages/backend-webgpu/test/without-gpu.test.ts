import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { openContractPage, type ContractPage } from './contract-page.ts';

// Browsers take their time on a busy machine: no test here is about speed.
vi.setConfig({ testTimeout: 600_000, hookTimeout: 600_000 });

let contract: ContractPage;

beforeAll(async () => {
  contract = await openContractPage(false);
});
afterAll(() => contract?.close());

/** Embeds a text with the backend's defaults. */
async function embedOn(page: Page) {
  const warnings: string[] = [];
  page.on('console', (message) => message.type() === 'warning' && warnings.push(message.text()));
  const report = await page.evaluate(() =>
    window.embed({ backend: 'webgpu', model: '/models/table/', texts: ['A cat sleeps.'] }),
  );
  const availability = await page.evaluate(() => window.backends['webgpu']!().isAvailable());
  return { report, warnings, availability, workers: page.workers().length };
}

it('without an adapter it warns and goes on with WebAssembly, on threads where the page is isolated', async () => {
  const requests: string[] = [];
  const page = await contract.open({ query: '?paths=/onnxruntime/' });
  page.on('request', (request) => requests.push(new URL(request.url()).pathname));
  const cores = await page.evaluate(() => navigator.hardwareConcurrency);
  const { report, warnings, availability, workers } = await embedOn(page);
  expect(report).toMatchObject({ vectors: [expect.any(Array)], outputLocations: ['cpu'], bytesRead: 0 });
  expect(warnings).toContainEqual(expect.stringMatching(/^WebGPU offers no adapter.*Going on with WebAssembly/u));
  const threads = Math.min(8, cores);
  expect(availability).toEqual({
    available: true,
    device: `WebAssembly, ${threads} thread${threads === 1 ? '' : 's'}`,
  });
  expect(workers).toBe(threads - 1);
  // The files came from where the page said.
  expect(requests).toContain('/onnxruntime/ort-wasm-simd-threaded.asyncify.wasm');
});

it('without WebGPU it warns and goes on with WebAssembly, on one thread where the page is not isolated', async () => {
  const { report, warnings, availability, workers } = await embedOn(
    await contract.open({ isolated: false, webGpu: false }),
  );
  expect(warnings).toContainEqual(expect.stringMatching(/^There is no WebGPU here.*Going on with WebAssembly/u));
  expect(report).toHaveProperty('vectors');
  expect(availability).toEqual({ available: true, device: 'WebAssembly, 1 thread' });
  expect(workers).toBe(0);
});
