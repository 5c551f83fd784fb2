import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { onnx } from '@sentvec/backend-onnx';
import { loadEmbedder } from '@sentvec/core/node';
import { useLite } from '@sentvec/model-use-lite';
import { queueRuntime } from '@sentvec/queue';
import { inProcessRuntime, silentLogger, unrestrictedAccess } from '@sentvec/workflow';
import { readConfiguration, startWorkerApp } from '@sentvec/worker';
import { expect, it } from 'vitest';
import pages from '../../../examples/own-workflow/pages.mjs';
import { contents, Fleet } from './fleet.ts';

const example = join(import.meta.dirname, '../../../examples/own-workflow/pages.mjs');

it('the example of a custom workflow builds the same index in this process and through Redis', async () => {
  const fleet = await Fleet.open();
  const backend = onnx({ sessions: 1, threadsPerSession: 1 });
  const embedder = await loadEmbedder(await useLite(), { backend });
  try {
    await mkdir(fleet.path('site'));
    await writeFile(fleet.path('site/short.html'), '<h1>The sea</h1><p>It was calm.</p>');
    await writeFile(fleet.path('site/long.html'), `<p>${'The ship went on through the night. '.repeat(60)}</p>`);
    const definition = pages({ embedder: async () => embedder, access: unrestrictedAccess });
    const here = inProcessRuntime();
    const input = (index: string) => ({ folder: fleet.path('site'), index: fleet.path(index) });
    const result = await (await here.start(definition, input('here'))).result();
    expect(result.count).toBe(2);
    expect(result.total).toBeGreaterThan(3);

    const configuration = readConfiguration(
      { redis: fleet.redis.url, root: fleet.root, port: '0', plugin: example },
      {},
    );
    const app = await startWorkerApp(configuration, { logger: silentLogger, backend });
    const runtime = await queueRuntime({ url: fleet.redis.url });
    expect(await (await runtime.start(definition, input('there'))).result()).toMatchObject({
      count: 2,
      total: result.total,
    });
    expect(await contents(fleet.path('there'))).toEqual(await contents(fleet.path('here')));
    await runtime.close();
    await app.stop();
  } finally {
    await embedder.dispose();
    await fleet.close();
  }
});
