import { writeFile } from 'node:fs/promises';
import { onnx } from '@sentvec/backend-onnx';
import { loadEmbedder } from '@sentvec/core/node';
import { useLite } from '@sentvec/model-use-lite';
import { queueRuntime } from '@sentvec/queue';
import { embedCorpusWorkflow, inProcessRuntime, silentLogger } from '@sentvec/workflow';
import { readConfiguration, startWorkerApp } from '@sentvec/worker';
import { expect, it } from 'vitest';
import { breakable } from './breakable-backend.ts';
import { Fleet, plainContents, texts } from './fleet.ts';

/**
 * Twenty rows that cannot be embedded, by row number: wrong types, invalid JSON, texts without tokens, and one on which
 * the backend fails.
 */
const poison = new Map<number, string>([
  ...[0, 17, 31].map((row) => [row, '{"text": 7}'] as const),
  ...[64, 65, 66].map((row) => [row, '{"text": null}'] as const),
  ...[99, 100].map((row) => [row, '{"text": ["a", "list"]}'] as const),
  ...[150, 151].map((row) => [row, '{"text": {"an": "object"}}'] as const),
  ...[200].map((row) => [row, '{"text": true}'] as const),
  ...[230, 231].map((row) => [row, '{"title": "no text"}'] as const),
  ...[260, 299].map((row) => [row, '{"text": "half a line'] as const),
  ...[301, 350, 351, 352].map((row) => [row, '{"text": ""}'] as const),
  [398, '{"text": "a flask of arsenic stood there"}'],
]);
const rows = 400;
const lines = texts(rows).map((row) => JSON.stringify(row));

it('twenty poison rows become dead letters, and a replay after they are corrected completes the output', async () => {
  expect(poison.size).toBe(20);
  const fleet = await Fleet.open();
  const backend = breakable(onnx({ sessions: 1, threadsPerSession: 1 }));
  const embedder = await loadEmbedder(await useLite(), { backend });
  const [arsenic] = await embedder.tokenizer.encode(['arsenic'], { maxLength: 8, addSpecialTokens: false });
  const configuration = readConfiguration({ redis: fleet.redis.url, root: fleet.root, port: '0' }, {});
  const app = await startWorkerApp(configuration, { logger: silentLogger, backend });
  const runtime = await queueRuntime({ url: fleet.redis.url });
  try {
    const corpus = fleet.path('corpus.jsonl');
    await writeFile(corpus, lines.map((line, row) => `${poison.get(row) ?? line}\n`).join(''));
    backend.poison = Math.max(...arsenic!.ids);
    const request = { inputs: [corpus], output: fleet.path('vectors'), chunkRows: 50 };
    const run = await runtime.start(embedCorpusWorkflow(), { model: 'use-lite', request });
    expect(await run.result()).toMatchObject({ rows: rows - 20, rejected: 20 });
    const letters = await run.deadLetters();
    const numbers = letters.map(({ reference }) => Number(reference.slice(`${corpus}#`.length)));
    expect(numbers.toSorted((a, b) => a - b)).toEqual([...poison.keys()].toSorted((a, b) => a - b));
    expect(letters.find(({ reference }) => reference.endsWith('#398'))?.reason).toContain('fails on');
    const metrics = await (await fetch(`${app.url}/metrics`)).text();
    expect(metrics).toContain(`sentvec_dead_letters_total 20`);

    backend.poison = undefined;
    await writeFile(corpus, lines.map((line) => `${line}\n`).join(''));
    await run.replay();
    expect(await run.result()).toMatchObject({ rows, rejected: 0 });
    expect(await run.deadLetters()).toEqual([]);
    const here = inProcessRuntime();
    const healthy = { model: 'use-lite', request: { ...request, output: fleet.path('healthy') } };
    await (await here.start(embedCorpusWorkflow({ embedder: async () => embedder }), healthy)).result();
    expect(await plainContents(fleet.path('vectors'))).toEqual(await plainContents(fleet.path('healthy')));
  } finally {
    await runtime.close();
    await app.stop();
    await embedder.dispose();
    await fleet.close();
  }
});
