// The page in which the contract of backends runs: built, served and opened in Chromium.
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { useLite } from '@sentvec/model-use-lite';
import { goldenFiles, goldenPath } from '@sentvec/testing';
import type { Browser, Page } from 'playwright-core';
import { memoryOf, startBrowser } from './browser.ts';
import { buildPage } from './build-page.ts';
import { startStaticServer, type StaticServer } from './static-server.ts';
import { writeTableModel } from './table-model.ts';
import { writeTrainedModel } from './trained-model.ts';

type ModelName = 'table' | 'trained' | 'use-lite';

/** How to open the page. */
export interface OpenOptions {
  readonly query?: string | undefined;
  /**
   * Whether the page's server sends the headers that let it have threads.
   * @default true
   */
  readonly isolated?: boolean | undefined;
  /**
   * Whether the page has `navigator.gpu`.
   * @default true
   */
  readonly webGpu?: boolean | undefined;
}

/** A production build of the page in `contract-page/`, its servers and a browser. */
export interface ContractPage {
  readonly browser: Browser;
  open(options?: OpenOptions): Promise<Page>;
  /** Where the models are that it serves under `/models/`. */
  modelFolder(name: ModelName): string;
  /** The files of a model. */
  listModel(name: ModelName): Promise<readonly string[]>;
  close(): Promise<void>;
}

const runtimeFiles = fileURLToPath(
  new URL('.', import.meta.resolve('onnxruntime-web/ort-wasm-simd-threaded.asyncify.wasm')),
);

/** @param gpu whether the browser has WebGPU */
export async function openContractPage(gpu = true): Promise<ContractPage> {
  const folder = await mkdtemp(join(tmpdir(), 'sentvec-webgpu-contract-'));
  const models = {
    table: join(folder, 'table'),
    trained: join(folder, 'trained'),
    'use-lite': (await useLite()).directory,
  };
  await writeTableModel(models.table);
  await writeTrainedModel(models.trained);
  await buildPage('contract-page', join(folder, 'page'));
  const folders = {
    '/': join(folder, 'page'),
    '/goldens/': goldenPath(''),
    '/models/table/': models.table,
    '/models/trained/': models.trained,
    '/models/use-lite/': models['use-lite'],
    '/onnxruntime/': runtimeFiles,
  };
  const servers: StaticServer[] = [];
  const browser = await startBrowser({ gpu });
  return {
    browser,
    modelFolder: (name) => models[name],
    listModel: async (name) => {
      const entries = await readdir(models[name], { recursive: true, withFileTypes: true });
      return entries
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name).slice(models[name].length + 1));
    },
    open: async ({ query = '', isolated = true, webGpu = true } = {}) => {
      const server = await startStaticServer(folders, isolated);
      servers.push(server);
      return openPage(browser, server.url + query, webGpu);
    },
    close: async () => {
      await browser.close();
      await Promise.all(servers.map((server) => server.close()));
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function openPage(browser: Browser, address: string, webGpu: boolean): Promise<Page> {
  const page = await browser.newPage();
  if (!webGpu) await page.addInitScript(() => Reflect.deleteProperty(Navigator.prototype, 'gpu'));
  page.on('pageerror', (error) => console.log(`page: ${error.message}`));
  const session = await page.context().newCDPSession(page);
  await page.exposeFunction('memoryInUse', async () => {
    await session.send('HeapProfiler.collectGarbage');
    return memoryOf(browser);
  });
  await page.exposeFunction('listGoldenModel', (name: string) => goldenFiles.model(name).list());
  await page.goto(address);
  await page.waitForFunction(() => 'check' in window);
  return page;
}
