import { spawnSync } from 'node:child_process';
import { queueRuntime } from '@sentvec/queue';
import { embedCorpusWorkflow, type Runtime } from '@sentvec/workflow';
import { chromium, type Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Fleet, texts, tinyModel, type FleetWorker } from './fleet.ts';

let fleet: Fleet;
let worker: FleetWorker;
let runtime: Runtime;
let browser: Browser;

beforeAll(async () => {
  fleet = await Fleet.open();
  worker = await fleet.start({ SENTVEC_TOKEN: 'a token of these tests', SENTVEC_RATE_LIMIT: '2/1' });
  await fleet.start({ SENTVEC_TOKEN: 'a token of these tests', SENTVEC_RATE_LIMIT: '2/1' });
  runtime = await queueRuntime({ url: fleet.redis.url });
  const names = ['chromium', 'chromium-browser', 'google-chrome'];
  const path = names
    .map((name) => spawnSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).stdout.trim())
    .find(Boolean);
  if (path === undefined)
    throw new Error(
      'Chromium is not installed, and this test looks at the dashboard in one: apt-get install chromium.',
    );
  const quiet = [
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ];
  browser = await chromium.launch({ executablePath: path, args: ['--no-sandbox', ...quiet] });
});

afterAll(async () => {
  await browser?.close();
  await runtime?.close();
  await fleet?.close();
});

it('shows the progress of a running job, and controls it', async () => {
  const corpus = await fleet.corpus('corpus.jsonl', [...texts(6000), { text: 1 }, { text: 2 }]);
  const earlier = {
    inputs: [await fleet.corpus('earlier.jsonl', [...texts(500), {}])],
    output: fleet.path('earlier'),
    chunkRows: 200,
  };
  await (await runtime.start(embedCorpusWorkflow(), { model: tinyModel, request: earlier })).result();
  const request = { inputs: [corpus], output: fleet.path('vectors'), chunkRows: 200 };
  const run = await runtime.start(embedCorpusWorkflow(), { model: tinyModel, request });
  const page = await browser.newPage({ viewport: { width: 1100, height: 620 } });
  const faults: string[] = [];
  page.on('pageerror', (error) => faults.push(String(error)));
  page.on('console', (message) => message.type() === 'error' && faults.push(message.text()));
  expect((await fetch(worker.url)).status).toBe(401);
  await page.goto(`${worker.url}/?token=a%20token%20of%20these%20tests`);
  const shown = page.locator(`[data-run="${run.id}"]`);
  await shown.waitFor();
  const done = async () => Number(await shown.locator('progress').getAttribute('value'));
  await expect.poll(done, { timeout: 40_000, interval: 100 }).toBeGreaterThan(2);
  const before = await done();
  await expect.poll(done, { timeout: 40_000, interval: 100 }).toBeGreaterThan(before);
  expect(await page.locator('#workers tr').count()).toBe(2);
  await expect
    .poll(() => shown.locator('.facts').textContent(), { timeout: 20_000 })
    .toMatch(/rows\/s: [1-9].*time left: \d/);
  const picture = process.env['SENTVEC_SCREENSHOT'];
  if (picture) await page.screenshot({ path: picture });

  await shown.getByRole('button', { name: 'pause' }).click();
  await shown.locator('.state.paused').waitFor();
  expect((await run.status()).state).toBe('paused');
  await shown.getByRole('button', { name: 'resume' }).click();
  await page.locator(`[data-run="${run.id}"][data-state="completed"]`).waitFor({ timeout: 60_000 });
  expect(await shown.locator('.facts').textContent()).toMatch(/rows: 6,000.*dead letters: 2/);
  expect(await page.locator('#lost').isHidden()).toBe(true);
  expect(faults).toEqual([]);

  const foreign: string[] = [];
  page.on('response', (response) => {
    if (!response.url().startsWith(worker.url)) foreign.push(response.url());
  });
  await page.getByRole('link', { name: 'BullMQ queues' }).click();
  await page.getByText('steps', { exact: false }).first().waitFor();
  expect(foreign).toEqual([]);
}, 120_000);

it('fits a phone screen, and shows the rows of the first chunk while it is embedded', async () => {
  // This comes before the long run: a step that one worker declines goes to the other worker, which the long run would
  // keep busy.
  const failed = { inputs: [fleet.path(`${'absent-'.repeat(20)}.jsonl`)], output: fleet.path('failed') };
  await (await runtime.start(embedCorpusWorkflow(), { model: tinyModel, request: failed })).result().catch(() => {});
  const corpus = await fleet.corpus('long.jsonl', texts(60_000));
  const request = { inputs: [corpus], output: fleet.path('long'), chunkRows: 60_000 };
  const run = await runtime.start(embedCorpusWorkflow(), { model: tinyModel, request });
  const page = await browser.newPage({ viewport: { width: 390, height: 844 } });
  await page.goto(`${worker.url}/?token=a%20token%20of%20these%20tests`);
  const shown = page.locator(`[data-run="${run.id}"]`);
  await shown.waitFor();
  const facts = () => shown.locator('.facts').textContent();
  await expect
    .poll(facts, { timeout: 40_000, interval: 100 })
    .toMatch(/items: 0 of .*rows: [1-9][\d,]*of them in unfinished chunks: [1-9].*rows\/s: [1-9]/);
  await page.locator('.error').first().waitFor();
  const picture = process.env['SENTVEC_SCREENSHOT'];
  if (picture) await page.screenshot({ path: picture.replace('.png', '-narrow.png'), fullPage: true });
  const beyondTheEdge = await page.evaluate(() =>
    [...document.querySelectorAll('body *')]
      .filter((element) => element.getBoundingClientRect().right > innerWidth)
      .map((element) => element.outerHTML.slice(0, 100)),
  );
  expect(beyondTheEdge).toEqual([]);
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390);
  await run.cancel();
}, 120_000);
