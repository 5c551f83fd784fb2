import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { queueRuntime } from '@sentvec/queue';
import { embedCorpusWorkflow } from '@sentvec/workflow';
import { expect, it } from 'vitest';
import { embedHere, Fleet, plainContents, texts, tinyModel } from './fleet.ts';

/** Bytes of a cache entry: its key, its checksum, two counts, and the 32 numbers of a vector of the tiny model. */
const entryBytes = 16 + 4 + 8 + 4 * 32;

/** Returns the number of vectors in a cache folder. */
async function cachedVectors(directory: string): Promise<number> {
  const names = (await readdir(directory, { recursive: true })).filter((name) => name.endsWith('.vectors'));
  const sizes = await Promise.all(names.map(async (name) => (await stat(join(directory, name))).size));
  return sizes.reduce((sum, size) => sum + size, 0) / entryBytes;
}

it('workers share a cache: an update embeds only changed rows, and writes the same bytes as an in-process run', async () => {
  const fleet = await Fleet.open();
  const runtime = await queueRuntime({ url: fleet.redis.url });
  try {
    const environment = { SENTVEC_CACHE: fleet.path('cache') };
    const rows = texts(600);
    const inputs = [await fleet.corpus('corpus.jsonl', rows)];
    const request = { inputs, output: fleet.path('vectors'), chunkRows: 100, update: true };
    const embed = async (): Promise<unknown> =>
      (await runtime.start(embedCorpusWorkflow(), { model: tinyModel, request })).result();
    await Promise.all([fleet.start(environment), fleet.start(environment)]);
    expect(await embed()).toMatchObject({ rows: 600, shards: 6 });
    await fleet.stopWorkers(); // Each worker writes its vectors to the cache when it stops.
    expect(await cachedVectors(fleet.path('cache'))).toBe(600 + 1); // One more: the probe text of the vector space.

    const changed = rows.map((row, index) => (index % 60 === 7 ? { text: `changed ${index}` } : row)).toSpliced(300, 1);
    await fleet.corpus('corpus.jsonl', changed);
    await Promise.all([fleet.start(environment), fleet.start(environment)]);
    expect(await embed()).toMatchObject({ rows: 599, shards: 6 });
    await fleet.stopWorkers();
    expect(await cachedVectors(fleet.path('cache'))).toBe(610 + 1);
    await embedHere(inputs[0]!, fleet.path('here'), 100);
    expect(await plainContents(fleet.path('vectors'))).toEqual(await plainContents(fleet.path('here')));
  } finally {
    await runtime.close();
    await fleet.close();
  }
}, 120_000);
