import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { onnx } from '@sentvec/backend-onnx';
import { loadEmbedder } from '@sentvec/core/node';
import { queueRuntime } from '@sentvec/queue';
import { embedCorpusWorkflow, inProcessRuntime, silentLogger } from '@sentvec/workflow';
import { readConfiguration, startWorkerApp, type PluginTools } from '@sentvec/worker';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadPlugins } from '../src/plugins.ts';
import firstAndLast from './first-and-last.mjs';
import { contents, Fleet, texts, tinyModel } from './fleet.ts';

let fleet: Fleet;

beforeAll(async () => {
  fleet = await Fleet.open();
});

afterAll(() => fleet.close());

const plugin = (name: string) => join(import.meta.dirname, name);

/** Writes a copy of the tiny model whose pooling is not built in. */
async function modelWithOwnPooling(): Promise<string> {
  const model = fleet.path('model');
  await cp(tinyModel, model, { recursive: true });
  const modules = JSON.parse(await readFile(join(model, 'modules.json'), 'utf8')) as { type: string; path: string }[];
  modules[1]!.type = 'my_package.FirstAndLast';
  await writeFile(join(model, 'modules.json'), JSON.stringify(modules));
  await writeFile(join(model, '1_Pooling/config.json'), '{}');
  return model;
}

describe('plugins', () => {
  it('a custom pooling computes the same vectors through Redis as in this process', async () => {
    const model = await modelWithOwnPooling();
    const corpus = await fleet.corpus('corpus.jsonl', texts(500));
    const request = (output: string) => ({
      inputs: [corpus],
      output: fleet.path(output),
      chunkRows: 64,
      format: 'npy' as const,
    });
    const embedder = await loadEmbedder(model, {
      backend: onnx({ sessions: 1, threadsPerSession: 1 }),
      poolings: [firstAndLast],
    });
    expect(embedder.dimension).toBe(64);
    const here = inProcessRuntime();
    await (
      await here.start(embedCorpusWorkflow({ embedder: async () => embedder }), { model, request: request('here') })
    ).result();
    await embedder.dispose();

    await fleet.start({ SENTVEC_MODELS: model, SENTVEC_PLUGINS: plugin('first-and-last.mjs') });
    await fleet.start({ SENTVEC_MODELS: model, SENTVEC_PLUGINS: plugin('first-and-last.mjs') });
    const runtime = await queueRuntime({ url: fleet.redis.url });
    await (await runtime.start(embedCorpusWorkflow(), { model, request: request('fleet') })).result();
    await runtime.close();
    expect(await contents(fleet.path('fleet'))).toEqual(await contents(fleet.path('here')));
    await fleet.stopWorkers();
  });

  it('a custom workflow uses the models of the worker, and only permitted files', async () => {
    const { excerpt } = await import('./excerpt-workflow.mjs');
    const configuration = readConfiguration(
      {
        redis: fleet.redis.url,
        queue: 'own',
        root: fleet.root,
        model: tinyModel,
        port: '0',
        plugin: plugin('excerpt-workflow.mjs'),
      },
      {},
    );
    const app = await startWorkerApp(configuration, { logger: silentLogger });
    const runtime = await queueRuntime({ url: fleet.redis.url, queue: 'own' });
    await writeFile(fleet.path('page.txt'), 'one\ntwo\nthree\n');
    const definition = excerpt();
    const run = await runtime.start(definition, { model: tinyModel, file: fleet.path('page.txt') });
    expect(await run.result()).toMatchObject({ count: 3, total: 3 * 32 });
    const refused = await runtime.start(definition, { model: tinyModel, file: '/etc/passwd' });
    await expect(refused.result()).rejects.toMatchObject({ code: 'job-refused' });
    const other = await runtime.start(definition, { model: 'other', file: fleet.path('page.txt') });
    await expect(other.result()).rejects.toMatchObject({ code: 'job-refused' });
    await runtime.close();
    await app.stop();
  });

  it('can be functions that return a promise', async () => {
    const workflow = `{ kind: 'workflow', id: 'later', stages: [] }`;
    await writeFile(fleet.path('slow.mjs'), `export default async () => [${workflow}];`);
    const { workflows } = await loadPlugins([fleet.path('slow.mjs')], {} as PluginTools);
    expect(workflows).toMatchObject([{ id: 'later' }]);
  });

  it('with an unusable default export are refused at the start', async () => {
    await writeFile(fleet.path('empty.mjs'), 'export const nothing = 1;');
    await writeFile(fleet.path('wrong.mjs'), 'export default { name: "x" };');
    await writeFile(fleet.path('broken.mjs'), 'export default (;');
    await writeFile(fleet.path('throws.mjs'), 'export default () => { throw new Error("no key"); };');
    await writeFile(fleet.path('later.mjs'), 'export default async () => { throw { code: 7 }; };');
    for (const name of ['empty.mjs', 'wrong.mjs', 'broken.mjs', 'absent.mjs', 'throws.mjs', 'later.mjs']) {
      const configuration = readConfiguration({ redis: fleet.redis.url, port: '0', plugin: fleet.path(name) }, {});
      await expect(startWorkerApp(configuration, { logger: silentLogger })).rejects.toMatchObject({
        code: 'invalid-argument',
        message: expect.stringContaining(name),
      });
    }
  });
});
