/**
 * Outputs with so many shards that the manifest has parts: writing, reading, updating, replacing, and detecting damage.
 */
import { createHash } from 'node:crypto';
import { link, mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import {
  commitCorpus,
  embedCorpus,
  openEmbeddings,
  openIndex,
  prepareCorpus,
  readManifest,
  shardsOf,
  shardTotals,
  updateIndex,
  verifyEmbeddings,
  type CorpusRequest,
  type CorpusRun,
  type Manifest,
  type ShardEntry,
} from '@sentvec/corpus';
import { describe, expect, it } from 'vitest';
import { formatManifest, isListedName, numberOfShard, renumberShard, shardName } from '../src/manifest.ts';
import { shardsOfPart, summarizeShards } from '../src/manifest-parts.ts';
import { chunkFile, writeFinishedChunk, type FinishedChunk } from '../src/run/finished-chunk.ts';
import { runFolder } from '../src/run/run-folder.ts';
import { fakeEmbedder } from './fake-embedder.ts';
import { workspace } from './workspace.ts';

const space = workspace();

it('shard names sort in the order of their numbers, for any number of shards', () => {
  const numbers = [0, 9, 10, 99_998, 99_999, 100_000, 100_001, 999_999, 1_000_000, 10_000_000, 2 ** 40];
  const names = numbers.map((number) => `${shardName(number)}.parquet`);
  expect(names.toSorted()).toEqual(names);
  expect(names.slice(3, 6)).toEqual(['shard-99998.parquet', 'shard-99999.parquet', 'shard-a100000.parquet']);
  expect(names.map(numberOfShard)).toEqual(numbers);
  expect(names.every(isListedName)).toBe(true);
  expect(renumberShard('shard-a100000.0123456789abcdef.ids.jsonl', 7)).toBe('shard-00007.0123456789abcdef.ids.jsonl');
});

function request(): CorpusRequest {
  return { inputs: [space.path('corpus.jsonl')], output: space.path('out'), idField: 'id' };
}

/** Creates a run whose chunks are recorded as finished without being embedded: all use the shard of the first one. */
async function fakeRun(chunks: number): Promise<CorpusRun> {
  const input = await space.write('corpus.jsonl', '{"id":"r0","text":"text 0"}\n');
  const prepared = await prepareCorpus({ ...request(), format: 'jsonl' }, fakeEmbedder());
  if (prepared.finished) throw new Error('The run is new.');
  const { run } = prepared;
  const embedding = JSON.stringify([...(await fakeEmbedder().embed(['text 0'])).vectors.data]);
  const content = `{"id":"r0","embedding":${embedding}}\n`;
  const first = join(run.output, `${shardName(0)}.jsonl`);
  await writeFile(first, content);
  const sha256 = createHash('sha256').update(content).digest('hex');
  const entry = (index: number): FinishedChunk => ({
    chunk: { input, firstRow: index, firstInputRow: index, rows: 1, firstLine: index + 1 },
    shard: {
      file: `${shardName(index)}.jsonl`,
      bytes: content.length,
      sha256,
      firstRow: index,
      content: `content ${index}`,
      rows: 1,
      rejected: 0,
      truncated: 0,
      tokens: 3,
      backend: index % 2 === 0 ? 'onnx' : 'tfjs',
    },
    rejectedRows: [],
  });
  await writeFinishedChunk(run, 0, entry(0));
  const folder = runFolder(run);
  for (let index = 1; index < chunks; index += 1) {
    await link(first, join(run.output, `${shardName(index)}.jsonl`));
    await writeFile(join(folder.chunks, chunkFile(index)), JSON.stringify(entry(index)));
  }
  await writeFile(folder.plan, JSON.stringify({ chunks, rows: chunks }));
  return run;
}

describe('a manifest in parts', () => {
  it('is written by the commit, and replaced by a manifest without parts when the output becomes small', async () => {
    const chunks = shardsOfPart + 1;
    const run = await fakeRun(chunks);
    const manifest = await commitCorpus(run);
    const counts = { rows: chunks, tokens: 3 * chunks, backends: ['onnx', 'tfjs'], shards: [] };
    expect(manifest).toMatchObject({ complete: true, ...counts });
    expect(manifest.parts!.map(({ shards, firstRow, vectors }) => [shards, firstRow, vectors])).toEqual([
      [shardsOfPart, 0, shardsOfPart],
      [1, shardsOfPart, 1],
    ]);
    expect(shardTotals(manifest)).toMatchObject({ shards: chunks, vectors: chunks });
    expect(await readManifest(run.output)).toEqual(manifest);
    const names = await readdir(run.output);
    expect(names).toHaveLength(chunks + 4);
    for (const { file } of manifest.parts!) expect(names).toContain(file);
    const small = await embedCorpus({ ...request(), output: run.output, overwrite: true }, fakeEmbedder());
    expect(small.parts).toBeUndefined();
    expect(await readdir(run.output)).toHaveLength(3);
  }, 60_000);

  it('is read one part at a time, can be searched and updated, and damage to a part is detected', async () => {
    const rows = Array.from({ length: 50 }, (_, row) => `{"id":"r${row}","text":"text ${row}"}\n`);
    await space.write('corpus.jsonl', rows.join(''));
    const embedder = fakeEmbedder();
    const { shards, ...others } = await embedCorpus({ ...request(), chunkRows: 10 }, embedder);
    const output = space.path('out');
    const write = (name: string, content: Uint8Array): Promise<void> => writeFile(join(output, name), content);
    const { parts } = await summarizeShards(shards, write, 2);
    const [first, second, third] = parts!;
    await write('manifest.json', Buffer.from(formatManifest({ ...others, shards: [], parts: parts! })));
    expect((await verifyEmbeddings(output)).damaged).toEqual([]);

    // Parts without a wanted row are not read.
    await rename(join(output, first!.file), join(output, 'elsewhere'));
    const offsets: number[] = [];
    for await (const { offset, ids } of (await openEmbeddings(output)).batches({ rows: [45, 25] }))
      offsets.push(offset, ids.length);
    expect(offsets).toEqual([20, 10, 40, 10]);
    await rename(join(output, 'elsewhere'), join(output, first!.file));

    const index = await openIndex(output, { embedder });
    const wanted = { topK: 3, filter: (_: object, id: unknown) => id === 'r7' || id === 'r48' };
    for (let time = 0; time < 2; time += 1)
      expect((await index.search('text', wanted)).map(({ row }) => row).toSorted((a, b) => a - b)).toEqual([7, 48]);

    const changed = (await readFile(join(output, second!.file), 'utf8')).replace('"rows":10', '"rows":11');
    const sha256 = createHash('sha256').update(changed).digest('hex');
    const sound = await readFile(join(output, second!.file));
    await write(second!.file, Buffer.from(changed));
    expect((await verifyEmbeddings(output)).damaged).toEqual([{ file: second!.file, problem: 'damaged' }]);
    const forged = [first!, { ...second!, bytes: changed.length, sha256 }, third!];
    await write('manifest.json', Buffer.from(formatManifest({ ...others, shards: [], parts: forged })));
    const reading = (await openEmbeddings(output)).batches({ rows: [25] }).next();
    await expect(reading).rejects.toMatchObject({
      code: 'invalid-output',
      details: { file: join(output, second!.file) },
    });
    await write(second!.file, sound);
    await write('manifest.json', Buffer.from(formatManifest({ ...others, shards: [], parts: parts! })));

    const { manifest: updated } = await updateIndex(output, {
      embedder,
      remove: ['r0'],
      rows: [{ id: 'new', text: 'x' }],
    });
    expect(updated.parts).toBeUndefined();
    expect(updated.shards.map(({ file }) => file)).toEqual([...shards.map(({ file }) => file), 'shard-00005.parquet']);
    expect(updated.rows).toBe(50);
    expect((await verifyEmbeddings(output)).damaged).toEqual([]);
  });

  it('with 50,000 shards is written and read with the memory for one part', async () => {
    const shards = 50_000;
    const directory = space.path('many');
    await mkdir(directory);
    const heap: number[] = [];
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const note = (row: number): void => {
      if (row % 5000 !== 0) return;
      collect();
      heap.push(process.memoryUsage().heapUsed);
    };
    function* entries(): Generator<ShardEntry> {
      for (let index = 0; index < shards; index += 1) {
        note(index);
        yield {
          file: `${shardName(index)}.parquet`,
          bytes: 4_000_000,
          sha256: index.toString(16).padStart(64, '0'),
          input: 0,
          firstRow: 2048 * index,
          content: index.toString(16).padStart(64, '0'),
          rows: 2048,
          rejected: 0,
          truncated: 0,
          tokens: 9,
        };
      }
    }
    const summary = await summarizeShards(entries(), (name, content) => writeFile(join(directory, name), content));
    const { pieces: _, ...counts } = summary;
    const run = await fakeRun(1);
    const small = await commitCorpus(run);
    const manifest: Manifest = { ...small, ...counts, rejectedRows: undefined };
    const text = formatManifest(manifest);
    expect(text.length).toBeLessThan(20_000);
    await writeFile(join(directory, 'manifest.json'), text);
    const opened = await openEmbeddings(directory);
    let next = 0;
    for await (const { firstRow } of shardsOf(directory, opened.manifest)) {
      expect(firstRow).toBe(2048 * next);
      note((next += 1));
    }
    expect(next).toBe(shards);
    // 50,000 entries take 20 MB, and their JSON text another 20 MB.
    expect(Math.max(...heap) - heap[0]!).toBeLessThan(10e6);
    await expect(opened.batches({ rows: [2048 * 49_999] }).next()).rejects.toMatchObject({
      code: 'io-failed',
      details: { file: join(directory, 'shard-49999.parquet') },
    });
  });
});
