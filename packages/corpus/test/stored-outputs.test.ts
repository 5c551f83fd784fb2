// Outputs in a bucket have the same shards as local ones, and the same guarantees without an atomic rename.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { SentvecError } from '@sentvec/core';
import {
  embedChunk,
  embedCorpus,
  openEmbeddings,
  openIndex,
  planCorpus,
  prepareCorpus,
  updateIndex,
  verifyEmbeddings,
  type CorpusChunk,
  type CorpusRequest,
  type Manifest,
} from '@sentvec/corpus';
import { startAz, startGs, startS3, type ObjectFault, type ObjectServer, type S3Server } from '@sentvec/testing';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { fakeEmbedder } from './fake-embedder.ts';
import { workspace, plainNames } from './workspace.ts';

const files = workspace();
const output = 's3://bucket/out';
let server: S3Server;
let others: Readonly<Record<string, ObjectServer>>;

beforeAll(async () => {
  server = await startS3();
  others = { gs: await startGs(), az: await startAz() };
  Object.assign(process.env, server.environment, others['gs']!.environment, others['az']!.environment);
});
beforeEach(() => {
  server.setFault(undefined);
  server.objects().clear();
  server.put('in.jsonl', lines());
});
afterAll(() => Promise.all([server, ...Object.values(others)].map((each) => each.close())));

function lines(change: (row: number) => unknown = (row) => `row ${row}`, rows = 900): string {
  return Array.from({ length: rows }, (_, row) => `${JSON.stringify({ id: row, text: change(row) })}\n`).join('');
}

const request: CorpusRequest = { inputs: ['s3://bucket/in.jsonl'], output, chunkRows: 100 };

/** Returns the files in a manifest and the manifest itself, without the content hashes that names in a store have. */
interface Content {
  readonly files: Readonly<Record<string, string>>;
  readonly manifest: string;
}

function contentOf(manifest: string, read: (file: string) => string): Content {
  const parsed = JSON.parse(manifest) as Manifest;
  return {
    files: Object.fromEntries(listedIn(parsed).map((file) => [plainNames(file), read(file)])),
    manifest: plainNames(manifest),
  };
}

/** Names of the files that a manifest lists. */
function listedIn({ shards, rejectedRows }: Manifest): string[] {
  const named = shards.flatMap((shard) => (shard.companion ? [shard, shard.companion] : [shard]));
  return [...named, ...(rejectedRows ? [rejectedRows] : [])].map(({ file }) => file);
}

function stored(from: ObjectServer = server): Content {
  const read = (file: string): string => from.objects().get(`out/${file}`)!.bytes.toString('latin1');
  return contentOf(read('manifest.json'), read);
}

async function local(options: Partial<CorpusRequest> = {}): Promise<Content> {
  const folder = files.path(`local-${Math.random()}`);
  const manifest = await embedCorpus({ ...request, output: folder, ...options }, fakeEmbedder());
  const read = new Map<string, string>();
  for (const name of [...listedIn(manifest), 'manifest.json'])
    read.set(name, await readFile(join(folder, name), 'latin1'));
  return contentOf(read.get('manifest.json')!, (file) => read.get(file)!);
}

/** Checks that the manifest lists every object in the output, and that there is no unfinished upload. */
function expectNothingElse(of: ObjectServer = server): void {
  const manifest = JSON.parse(of.objects().get('out/manifest.json')!.bytes.toString()) as Manifest;
  const expected = [...listedIn(manifest), 'manifest.json'].map((name) => `out/${name}`);
  expect([...of.objects().keys()].filter((key) => key.startsWith('out/')).toSorted()).toEqual(expected.toSorted());
  expect(of.uploads()).toEqual([]);
}

/** Fails 5 % of the requests and drops 1 % of the responses, in a reproducible order. */
function troubled(of: ObjectServer = server): void {
  let call = 0;
  const busy: ObjectFault = { instead: { status: 503, headers: { 'retry-after': '0' } } };
  of.setFault(() => {
    call += 1;
    if (call % 97 === 50) return 'lose-answer';
    return call % 20 === 7 ? busy : undefined;
  });
}

it.each([
  ['parquet', {}],
  ['npy with int8', { format: 'npy', precision: 'int8' }],
  ['a gzip', { inputs: ['s3://bucket/in.jsonl.gz'] }],
] as const)('%s: the same shards as in a folder, from a store that fails', async (_, options) => {
  server.put('in.jsonl.gz', gzipSync(lines()));
  server.put(
    'in.jsonl',
    lines((row) => (row % 300 === 7 ? 7 : `row ${row}`)),
  );
  const expected = await local(options);
  troubled();
  await embedCorpus({ ...request, ...options }, fakeEmbedder());
  expect(stored()).toEqual(expected);
  expectNothingElse();
});

it.each(['gs', 'az'])('%s:// stores the same shards, which can be read back', async (scheme) => {
  const other = others[scheme]!;
  other.put('in.jsonl', lines());
  const expected = await local({ inputs: [`${scheme}://bucket/in.jsonl`] });
  troubled(other);
  const there = { ...request, inputs: [`${scheme}://bucket/*.jsonl`], output: `${scheme}://bucket/out` };
  await embedCorpus(there, fakeEmbedder());
  expect(stored(other)).toEqual(expected);
  const { damaged } = await verifyEmbeddings(there.output);
  expect(damaged).toEqual([]);
  expectNothingElse(other);
  await expect(embedCorpus(there, fakeEmbedder())).rejects.toThrow(/contains finished embeddings/u);
});

it('is resumed after an interruption, embeds nothing twice, and can be read', async () => {
  const expected = await local();
  let batches = 0;
  const onEmbed = (): void => {
    batches += 1;
    if (batches === 5) throw new SentvecError('aborted', 'Stopped by the test.');
  };
  await expect(embedCorpus(request, fakeEmbedder({ onEmbed }))).rejects.toThrow(/Stopped/u);
  await expect(openEmbeddings(output)).rejects.toThrow(/not complete/u);
  await expect(embedCorpus(request, fakeEmbedder())).rejects.toMatchObject({ details: { unfinished: true } });
  let rows = 0;
  await embedCorpus({ ...request, resume: true }, fakeEmbedder({ onEmbed: (texts) => void (rows += texts.length) }));
  expect(rows).toBeLessThan(900);
  expect(stored()).toEqual(expected);
  expectNothingElse();
  const ids: unknown[] = [];
  for await (const batch of (await openEmbeddings(output)).batches()) ids.push(...batch.ids);
  expect(ids).toEqual(Array.from({ length: 900 }, (_, row) => row));
  expect((await verifyEmbeddings(output)).damaged).toEqual([]);
  await expect(embedCorpus(request, fakeEmbedder())).rejects.toThrow(/contains finished embeddings/u);
  rows = 0;
  await embedCorpus(
    { ...request, resume: true, verify: true },
    fakeEmbedder({ onEmbed: (texts) => void (rows += texts.length) }),
  );
  expect(rows).toBeLessThan(2); // The probe text for the dimension.
});

it('damaged and lost shards are recomputed', async () => {
  await embedCorpus(request, fakeEmbedder());
  const expected = stored();
  const keys = [...server.objects().keys()].filter((key) => key.includes('/shard-'));
  server.objects().delete(keys[2]!);
  const { bytes } = server.objects().get(keys[4]!)!;
  server.put(keys[4]!, Buffer.alloc(bytes.length));
  expect((await verifyEmbeddings(output)).damaged).toHaveLength(2);
  await expect(openEmbeddings(output)).rejects.toThrow(/is missing/u);
  await embedCorpus({ ...request, resume: true, verify: true }, fakeEmbedder());
  expect(stored()).toEqual(expected);
  expectNothingElse();
});

it('if several runs start at the same time, only one succeeds', async () => {
  const results = await Promise.allSettled(Array.from({ length: 5 }, () => embedCorpus(request, fakeEmbedder())));
  expect(results.filter(({ status }) => status === 'fulfilled').length).toBeGreaterThanOrEqual(1);
  const reasons = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as SentvecError] : []));
  expect(reasons.filter(({ code }) => code !== 'invalid-output')).toEqual([]);
  expect(stored()).toEqual(await local());
  expectNothingElse();
});

it('a worker that resumes after its run was replaced changes nothing', async () => {
  const first = await prepareCorpus(request, fakeEmbedder());
  if (first.finished) throw new Error('There was nothing to finish.');
  const { run } = first;
  const chunks: CorpusChunk[] = [];
  for await (const chunk of planCorpus(run)) chunks.push(chunk);
  await embedChunk(chunks[0]!, run, fakeEmbedder());
  let wake = (): void => {};
  const asleep = new Promise<void>((resolve) => (wake = resolve));
  let late: Promise<unknown> | undefined;
  await new Promise<void>((begun) => {
    const onEmbed = (): Promise<void> => {
      begun();
      return asleep;
    };
    late = embedChunk(chunks[1]!, run, fakeEmbedder({ onEmbed }));
  });
  server.put(
    'in.jsonl',
    lines((row) => `other ${row}`),
  );
  await embedCorpus({ ...request, overwrite: true }, fakeEmbedder());
  const expected = stored();
  wake();
  await expect(late).rejects.toThrow(/no longer open/u);
  expect(stored()).toEqual(expected);
  expectNothingElse();
});

it('outputs with other files, and finished outputs of another vector space, are refused', async () => {
  server.put('out/notes.txt', 'mine');
  await expect(embedCorpus(request, fakeEmbedder())).rejects.toThrow(
    /s3:\/\/bucket\/out contains other files \(notes\.txt\)/u,
  );
  expect([...server.objects().keys()]).toEqual(['in.jsonl', 'out/notes.txt']);
  server.objects().delete('out/notes.txt');
  await embedCorpus(request, fakeEmbedder());
  const error = embedCorpus({ ...request, resume: true }, fakeEmbedder({ dimension: 4 }));
  await expect(error).rejects.toMatchObject({ code: 'space-mismatch' });
  expectNothingElse();
});

it('can be searched like a local folder, by meaning and by words', async () => {
  const input = await files.write('in.jsonl', lines());
  const folder = files.path('searched');
  await embedCorpus({ ...request, inputs: [input], output: folder, columns: ['text'] }, fakeEmbedder());
  await embedCorpus({ ...request, columns: ['text'] }, fakeEmbedder());
  const search = async (directory: string): Promise<unknown[]> => {
    const index = await openIndex(directory, { embedder: fakeEmbedder() });
    const hits = await index.search('row 512', { by: 'both', topK: 5, filter: ({ text }) => text !== 'row 7' });
    return hits.map(({ row, score, scores, id, text }) => ({ row, score, scores, id, text }));
  };
  const found = await search(output);
  expect(found).toHaveLength(5);
  expect(found).toEqual(await search(folder));
});

it('updating single rows in a bucket is refused with a clear error', async () => {
  await embedCorpus(request, fakeEmbedder());
  await expect(updateIndex(output, { remove: [1] })).rejects.toThrow(/s3:\/\/bucket\/out is in a store/u);
  expectNothingElse();
});

it('a missing permission is an error, and prepared objects are deleted', async () => {
  server.setFault(({ method, key }) =>
    method === 'PUT' && key.endsWith('manifest.json')
      ? { instead: { status: 403, body: '<Error><Code>AccessDenied</Code></Error>' } }
      : undefined,
  );
  await expect(embedCorpus(request, fakeEmbedder())).rejects.toThrow(
    /S3 denies access to s3:\/\/bucket\/out\/manifest\.json/u,
  );
  expect([...server.objects().keys()]).toEqual(['in.jsonl']);
});

it('a commit sends several requests concurrently, because 50,000 sequential ones would take an hour', async () => {
  let pending = 0;
  let most = 0;
  server.setFault(async ({ method, key }) => {
    if (method === 'GET' && key.includes('/chunks/')) {
      most = Math.max(most, (pending += 1));
      await sleep(50);
      pending -= 1;
    }
    return undefined;
  });
  const manifest = await embedCorpus({ ...request, chunkRows: 10 }, fakeEmbedder());
  expect(manifest.shards.map(({ firstRow }) => firstRow)).toEqual(Array.from({ length: 90 }, (_, index) => index * 10));
  expect(most).toBeGreaterThan(8);
  expect(most).toBeLessThanOrEqual(32);
});
