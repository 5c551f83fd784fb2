// Texts that end the process which embeds them.
import { onnx } from '@sentvec/backend-onnx';
import { loadEmbedder } from '@sentvec/core/node';
import { queueRuntime } from '@sentvec/queue';
import { embedCorpusWorkflow } from '@sentvec/workflow';
import { expect, it } from 'vitest';
import { contents, embedHere, Fleet, texts, tinyModel } from './fleet.ts';

it('a text that ends its process is narrowed down to its row, and the others are embedded', async () => {
  const fleet = await Fleet.open();
  const runtime = await queueRuntime({ url: fleet.redis.url });
  try {
    const embedder = await loadEmbedder(tinyModel, { backend: onnx({ sessions: 1, threadsPerSession: 1 }) });
    const [fatal] = await embedder.tokenizer.encode(['Ω'], { maxLength: 8, addSpecialTokens: false });
    await embedder.dispose();
    // Two chunks at a time: the one that is no fault of its workers' end is lost with the other, and embedded beside it.
    const environment = { FATAL_IDS: JSON.stringify([...fatal!.ids]), SENTVEC_CONCURRENCY: '2' };
    const backend = new URL('crashing-backend.mjs', import.meta.url).href;
    const rows = texts(200);
    const corpus = await fleet.corpus('corpus.jsonl', rows);
    await embedHere(corpus, fleet.path('here'), 50);
    await fleet.corpus('corpus.jsonl', rows.with(120, { text: 'Ω' }));

    // Two workers are lost before a chunk is suspected; the third has what is left.
    const workers = [];
    for (let count = 0; count < 3; count += 1) workers.push(await fleet.start(environment, backend));
    const request = { inputs: [corpus], output: fleet.path('vectors'), chunkRows: 50 };
    const run = await runtime.start(embedCorpusWorkflow(), { model: tinyModel, request });
    expect(await run.result()).toMatchObject({ rows: 199, rejected: 1, shards: 4 });
    expect(await run.deadLetters()).toEqual([
      { reference: `${corpus}#120`, reason: expect.stringMatching(/process that embedded this text ended: .*SIGKILL/) },
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
