import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { goldenFiles, goldenPath } from '@sentvec/testing';
import { backendChecks } from '@sentvec/testing/backend-checks';
import { webgpu } from '@sentvec/backend-webgpu';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { memoryOf, startBrowser } from './browser.ts';
import { buildPage } from './build-page.ts';
import { startStaticServer, type StaticServer } from './static-server.ts';

/**
 * A software adapter compiles shaders for seconds at each new shape, so that the whole contract takes many minutes without a GPU.
 * `SENTVEC_BROWSER_CONTRACT=1` runs it. The values of a real page are compared with Node's in `example-pages.test.ts` always.
 */
const isAskedFor = process.env['SENTVEC_BROWSER_CONTRACT'] === '1';
const reason = isAskedFor ? '' : ' (skipped: takes many minutes on a software adapter; SENTVEC_BROWSER_CONTRACT=1 runs it)';

let folder: string;
let server: StaticServer;
let browser: Browser;
let page: Page;

beforeAll(async () => {
  if (!isAskedFor) return;
  folder = await mkdtemp(join(tmpdir(), 'sentvec-webgpu-contract-'));
  await buildPage('contract-page', folder);
  server = await startStaticServer({ '/': folder, '/goldens/': goldenPath('') });
  browser = await startBrowser();
  page = await browser.newPage();
  page.on('pageerror', (error) => console.log(`page: ${error.message}`));
  const session = await page.context().newCDPSession(page);
  await page.exposeFunction('memoryInUse', async () => {
    await session.send('HeapProfiler.collectGarbage');
    return memoryOf(browser);
  });
  await page.exposeFunction('listGoldenModel', (name: string) => goldenFiles.model(name).list());
  await page.goto(server.url);
  await page.waitForFunction(() => 'check' in window);
}, 120_000);

afterAll(async () => {
  await browser?.close();
  await server?.close();
  if (isAskedFor) await rm(folder, { recursive: true, force: true });
});

it.skipIf(!isAskedFor)(`the page is isolated and computes on an adapter of WebGPU${reason}`, async () => {
  expect(await page.evaluate(() => crossOriginIsolated)).toBe(true);
  const availability = await page.evaluate(() => window.backends['webgpu']!.isAvailable());
  expect(availability).toEqual({ available: true, device: expect.stringMatching(/^WebGPU \(/u) });
});

it.skipIf(!isAskedFor)(`keeps the files of a model in Cache storage, apart for each version${reason}`, async () => {
  const expected = new TextDecoder().decode(await goldenFiles.model('tiny-bert').read('config.json'));
  const readings = await page.evaluate(async () => [
    await window.readCached('1'),
    await window.readCached('1'),
    await window.readCached('2'),
  ]);
  expect(readings.map(({ text }) => text)).toEqual([expected, expected, expected]);
  expect(readings.map(({ downloads }) => downloads > 0)).toEqual([true, false, true]);
});

const names = backendChecks(webgpu(), goldenFiles).map(({ name }) => name);

describe.skipIf(!isAskedFor).each(['wasm', 'webgpu'])(`backend contract of %s in Chromium${reason}`, (backend) => {
  it.each(names)('%s', { timeout: 240_000 }, async (name) => {
    const failure = await page.evaluate(([kind, check]) => window.check(kind!, check!), [backend, name]);
    expect(failure).toBeUndefined();
  });
});
