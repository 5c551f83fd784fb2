// Texts that crash the process which embeds them.
import { writeFile } from 'node:fs/promises';
import { onnx } from '@sentvec/backend-onnx';
import { loadEmbedder } from '@sentvec/core/node';
import { queueRuntime } from '@sentvec/queue';
import { embedCorpusWorkflow } from '@sentvec/workflow';
import { readConfiguration } from '@sentvec/worker';
import { expect, it } from 'vitest';
import { contents, embedHere, Fleet, texts, tinyModel } from './fleet.ts';

it('a text that crashes its process becomes a dead letter, and all other rows are embedded', async () => {
  const fleet = await Fleet.open();
  const runtime = await queueRuntime({ url: fleet.redis.url });
  try {
    const embedder = await loadEmbedder(tinyModel, { backend: onnx({ sessions: 1, threadsPerSession: 1 }) });
    const [fatal] = await embedder.tokenizer.encode(['Ω'], { maxLength: 8, addSpecialTokens: false });
    await embedder.dispose();
    // With a concurrency of two, the harmless chunk is lost together with the poison one, and embedded again.
    const environment = { FATAL_IDS: JSON.stringify([...fatal!.ids]), SENTVEC_CONCURRENCY: '2' };
    const backend = new URL('crashing-backend.mjs', import.meta.url).href;
    const rows = texts(200);
    const corpus = await fleet.corpus('corpus.jsonl', rows);
    await embedHere(corpus, fleet.path('here'), 50);
    await fleet.corpus('corpus.jsonl', rows.with(120, { text: 'Ω' }));

    // Two workers crash before the chunk is isolated; the third one embeds the rest.
    const workers = [];
    for (let count = 0; count < 3; count += 1) workers.push(await fleet.start(environment, backend));
    const request = { inputs: [corpus], output: fleet.path('vectors'), chunkRows: 50 };
    const run = await runtime.start(embedCorpusWorkflow(), { model: tinyModel, request });
    expect(await run.result()).toMatchObject({ rows: 199, rejected: 1, shards: 4 });
    expect(await run.deadLetters()).toEqual([
      {
        reference: `${corpus}#120`,
        reason: expect.stringMatching(/process that embedded this text ended unexpectedly: .*SIGKILL/),
      },
    ]);
    const lost = workers.filter(({ process: { signalCode } }) => signalCode === 'SIGKILL');
    expect(lost.length).toBe(2);
    const [here, there] = [await contents(fleet.path('here')), await contents(fleet.path('vectors'))];
    const shards = [...here.keys()].filter((name) => name.startsWith('shard-0000') && !name.includes('00002'));
    expect(shards.length).toBe(3);
    for (const name of shards) expect(there.get(name)).toBe(here.get(name));
  } finally {
    await runtime.close();
    await fleet.close();
  }
}, 120_000);

it('a text becomes a dead letter only after its process has ended twice', async () => {
  const fleet = await Fleet.open();
  const embedder = await loadEmbedder(tinyModel, { backend: onnx({ sessions: 1, threadsPerSession: 1 }) });
  // Use the compiled file, because it starts another compiled file.
  const built = new URL('../dist/isolated-embedding.js', import.meta.url).href;
  const { IsolatedEmbedding } = (await import(built)) as typeof import('../src/isolated-embedding.ts');
  const once = fleet.path('once');
  const backend = { module: new URL('crashing-backend.mjs', import.meta.url).href, options: { once } };
  const configuration = readConfiguration({ root: fleet.root, model: tinyModel }, {});
  const isolation = new IsolatedEmbedding({ model: tinyModel, backend, selfCheck: false, configuration });
  try {
    const isolated = isolation.isolate(embedder);
    const two = ['the sea was calm', 'a light rose'];
    const expected = [...(await embedder.embed(two)).vectors.data];
    expect([...(await isolated.embed(two)).vectors.data]).toEqual(expected);
    await writeFile(once, '');
    await expect(isolated.embed(two)).rejects.toMatchObject({
      code: 'backend-failed',
      message: expect.stringContaining('SIGKILL'),
    });
    await writeFile(once, '');
    const alone = await isolated.embed(two.slice(0, 1));
    expect([...alone.vectors.data]).toEqual([...(await embedder.embed(two.slice(0, 1))).vectors.data]);
    expect(isolated.dimension).toBe(embedder.dimension);
  } finally {
    await isolation.close();
    await embedder.dispose();
    await fleet.close();
  }
}, 60_000);
