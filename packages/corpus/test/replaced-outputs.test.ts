/** Outputs that are embedded again or updated: readers see all old or all new vectors. */
import { execFile, spawn } from 'node:child_process';
import { cp, readdir, rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { SentvecError } from '@sentvec/core';
import {
  commitCorpus,
  embedChunk,
  embedCorpus,
  openEmbeddings,
  openIndex,
  planCorpus,
  prepareCorpus,
  readManifest,
  updateIndex,
  verifyEmbeddings,
  type CorpusRequest,
  type CorpusRun,
  type Manifest,
} from '@sentvec/corpus';
import { startS3, type S3Server } from '@sentvec/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fakeEmbedder } from './fake-embedder.ts';
import { contents, plainContents, plainNames, workspace } from './workspace.ts';

const space = workspace();
let server: S3Server;

beforeAll(async () => {
  server = await startS3();
  Object.assign(process.env, server.environment);
});
afterAll(() => server.close());

const rowsOf = (prefix: string, from = 0, to = 60): { id: string; text: string }[] =>
  Array.from({ length: to - from }, (_, index) => ({ id: `${from + index}`, text: `${prefix} ${from + index}` }));
const jsonl = (rows: readonly object[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join('');

function request(inputs: readonly string[], more: Partial<CorpusRequest> = {}): CorpusRequest {
  return { inputs, output: space.path('out'), idField: 'id', chunkRows: 10, ...more };
}

/** Reads and searches a folder, checks that all texts are from one run, and returns which run. */
async function read(directory: string): Promise<string> {
  const embeddings = await openEmbeddings(directory);
  const owners = new Set<string>();
  let rows = 0;
  for await (const { texts } of embeddings.batches()) {
    rows += texts!.length;
    for (const text of texts!) owners.add(text.split(' ')[0]!);
  }
  const index = await openIndex(directory, { embedder: fakeEmbedder(), memory: 0 });
  const hits = await index.search('text 7', { by: 'both', topK: 20 }).catch((error: unknown) => {
    if (SentvecError.is(error, 'invalid-text')) return [];
    throw error;
  });
  const found = new Set(hits.map(({ text }) => text!.split(' ')[0]!));
  expect([rows, owners.size, found.size]).toEqual([60, 1, 1]);
  return [...owners][0]!;
}

describe.each(['a folder', 'a store'])('readers of %s', (kind) => {
  it.each([{ overwrite: true }, { update: true }])(
    'an output that is replaced with %o see only the old or only the new rows',
    async (how) => {
      const output = kind === 'a folder' ? space.path('out') : `s3://bucket/${Object.keys(how)[0]}`;
      await embedCorpus(request([await space.write('in.jsonl', jsonl(rowsOf('old')))], { output }), fakeEmbedder());
      const input = await space.write('in.jsonl', jsonl([...rowsOf('new'), { id: 'x' }]));
      let isDone = false;
      const seen = new Set<string>();
      const readAgainAndAgain = async (): Promise<void> => {
        for (let last = false; !last;) {
          last = isDone;
          try {
            seen.add(await read(output));
          } catch (error) {
            // The reader was opened before the replacement, and the shards were deleted afterwards.
            if (!SentvecError.is(error) || error.details['replaced'] !== true) throw error;
          }
          expect((await verifyEmbeddings(output)).damaged).toEqual([]);
        }
      };
      const reading = readAgainAndAgain();
      const onEmbed = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));
      await embedCorpus(request([input], { output, ...how }), fakeEmbedder({ onEmbed }));
      isDone = true;
      await reading;
      expect([...seen]).toEqual(['old', 'new']);
      expect((await openEmbeddings(output)).manifest).toMatchObject({ rows: 60, rejected: 1 });
    },
  );
});

it('an open reader whose shards were deleted gets an error that says to open the folder again', async () => {
  const input = await space.write('in.jsonl', jsonl(rowsOf('old')));
  await embedCorpus(request([input]), fakeEmbedder());
  const opened = await openEmbeddings(space.path('out'));
  await space.write('in.jsonl', jsonl(rowsOf('new')));
  await embedCorpus(request([input], { overwrite: true }), fakeEmbedder());
  await expect(opened.batches().next()).rejects.toMatchObject({
    code: 'invalid-output',
    message: expect.stringContaining('Open it again') as string,
    details: { replaced: true },
  });
});

/** Starts a process that embeds, and kills it when it has finished a number of rows. */
async function killAfter(rows: number, wanted: CorpusRequest): Promise<void> {
  const script = fileURLToPath(new URL('embed-process.mjs', import.meta.url));
  const child = spawn(process.execPath, [script, JSON.stringify(wanted), '20'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  for await (const block of child.stdout)
    if (Math.max(...String(block).trim().split('\n').map(Number)) >= rows) child.kill('SIGKILL');
  await gone;
}

async function textsOf(output: string): Promise<string[]> {
  const texts: string[] = [];
  for await (const batch of (await openEmbeddings(output)).batches()) texts.push(...batch.texts!);
  return texts;
}

it('a killed process leaves the old vectors, and the next one completes the run and deletes leftovers', async () => {
  const script = fileURLToPath(new URL('embed-process.mjs', import.meta.url));
  const embed = (wanted: CorpusRequest): Promise<unknown> =>
    promisify(execFile)(process.execPath, [script, JSON.stringify(wanted), '0']);
  const many = (prefix: string): string => jsonl(rowsOf(prefix, 0, 3000));
  const input = await space.write('in.jsonl', many('old'));
  const wanted = request([input], { chunkRows: 250, idField: undefined });
  await embed(wanted);
  await space.write('in.jsonl', many('new'));
  const old = rowsOf('old', 0, 3000).map(({ text }) => text);
  for (const how of [{ overwrite: true }, { resume: true }, { update: true }] as const) {
    await killAfter(600, { ...wanted, ...how });
    expect(await textsOf(wanted.output)).toEqual(old);
    expect((await verifyEmbeddings(wanted.output)).damaged).toEqual([]);
    expect((await readdir(wanted.output)).includes('.unfinished')).toBe(true);
    const update = updateIndex(wanted.output, { remove: [1] });
    await expect(update).rejects.toThrow(/is being embedded again, which would discard the update/);
  }
  await expect(embedCorpus(wanted, fakeEmbedder({ dimension: 64 }))).rejects.toMatchObject({ code: 'space-mismatch' });
  await embed({ ...wanted, update: true });
  await embed({ ...wanted, output: space.path('anew') });
  expect(await plainContents(wanted.output)).toEqual(await plainContents(space.path('anew')));
});

async function prepared(wanted: CorpusRequest): Promise<CorpusRun> {
  const result = await prepareCorpus(wanted, fakeEmbedder());
  if (result.finished) throw new Error('There is nothing to do.');
  for await (const chunk of planCorpus(result.run)) await embedChunk(chunk, result.run, fakeEmbedder());
  return result.run;
}

it('a commit that was killed after replacing the manifest is completed by a resume', async () => {
  const input = await space.write('in.jsonl', jsonl(rowsOf('old')));
  await embedCorpus(request([input]), fakeEmbedder());
  await space.write('in.jsonl', jsonl(rowsOf('new')));
  const run = await prepared(request([input], { overwrite: true }));
  const before = space.path('before');
  await cp(run.output, before, { recursive: true });
  await commitCorpus(run);
  const after = await contents(run.output);
  await cp(run.output, before, { recursive: true }); // The new manifest, the old shards, and the files of the run.
  await rm(run.output, { recursive: true });
  await cp(before, run.output, { recursive: true });
  expect(await read(run.output)).toBe('new');
  expect((await verifyEmbeddings(run.output)).damaged).toEqual([]);
  await embedCorpus(request([input], { resume: true }), fakeEmbedder());
  expect(await contents(run.output)).toEqual(after);
});

it('a replaced run does not mistake the earlier output for its own', async () => {
  const input = await space.write('in.jsonl', jsonl(rowsOf('old')));
  await embedCorpus(request([input]), fakeEmbedder());
  await space.write('in.jsonl', jsonl(rowsOf('new')));
  const first = await prepared(request([input], { overwrite: true }));
  const second = await prepared(request([input], { overwrite: true }));
  await expect(commitCorpus(first)).rejects.toThrow(/no longer open/);
  expect(await read(first.output)).toBe('old');
  await commitCorpus(second);
  expect(await read(first.output)).toBe('new');
  expect((await readdir(first.output)).filter((name) => name.startsWith('.'))).toEqual([]);
});

describe('an update', () => {
  /** Runs an update and records the embedded texts, except the probe text for the dimension. */
  async function update(wanted: CorpusRequest): Promise<{ manifest: Manifest; computed: string[] }> {
    const computed: string[] = [];
    const embedder = fakeEmbedder({ onEmbed: (texts) => void computed.push(...texts) });
    const manifest = await embedCorpus({ ...wanted, update: true }, embedder);
    return { manifest, computed: computed.slice(1) };
  }

  async function anew(wanted: CorpusRequest): Promise<Record<string, string>> {
    const output = space.path('anew');
    await rm(output, { recursive: true, force: true });
    await embedCorpus({ ...wanted, output }, fakeEmbedder());
    return plainContents(output);
  }

  const old = rowsOf('text');
  const changes: Readonly<Record<string, readonly object[]>> = {
    'a changed row': old.with(33, { id: '33', text: 'another' }),
    'a deleted row': old.toSpliced(33, 1),
    'a new row at the beginning': [{ id: 'new', text: 'new' }, ...old],
    'new rows at the end': [...old, ...rowsOf('more', 60, 75)],
    'a row that is rejected': old.with(12, { id: '12' } as never),
    'no row at all': [],
  };

  it.each([
    ['ids of their own', {}],
    ['row numbers, npy and int8', { idField: undefined, format: 'npy', precision: 'int8' }],
  ] as const)('is identical to embedding anew: %s', async (_, more) => {
    const other = await space.write('b.jsonl', jsonl(rowsOf('other', 100, 130)));
    for (const [change, rows] of Object.entries(changes)) {
      await rm(space.path('out'), { recursive: true, force: true });
      const wanted = request([await space.write('a.jsonl', jsonl(old)), other], more);
      await update(wanted); // The folder is empty.
      expect(await plainContents(space.path('out'))).toEqual(await anew(wanted));
      await space.write('a.jsonl', jsonl(rows));
      const { computed } = await update(wanted);
      expect(await plainContents(space.path('out'))).toEqual(await anew(wanted));
      if ('precision' in more) continue; // The calibration embeds the first rows again.
      // The rows of the other file have moved, but are unchanged.
      const moved = computed.filter((text) => text.startsWith('other'));
      expect([moved.length, change === 'a changed row' ? computed.length : 10]).toEqual([0, 10]);
    }
  });

  it('supports inputs that are added, removed and renamed', async () => {
    const [a, b, c] = await Promise.all(
      ['a', 'b', 'c'].map((name, index) =>
        space.write(`${name}.jsonl`, jsonl(rowsOf(name, 100 * index, 100 * index + 25))),
      ),
    );
    for (const [inputs, computed] of [
      [[a!, b!], 50],
      [[c!, b!], 25],
      [[b!], 0],
      [[await space.write('d.jsonl', jsonl(rowsOf('b', 100, 125)))], 0],
      [[await space.write('e.jsonl', ''), b!], 0],
    ] as const) {
      expect((await update(request(inputs))).computed).toHaveLength(computed);
      expect(await plainContents(space.path('out'))).toEqual(await anew(request(inputs)));
    }
  });

  it('embeds nothing if nothing has changed, and everything if the type of the ids has changed', async () => {
    const input = await space.write('in.jsonl', jsonl(old.map(({ id, text }) => ({ id: Number(id), text }))));
    await update(request([input]));
    const before = await contents(space.path('out'));
    expect((await update(request([input]))).computed).toEqual([]);
    expect(await contents(space.path('out'))).toEqual(before);
    await space.write('in.jsonl', jsonl(old));
    expect((await update(request([input]))).manifest.idType).toBe('string');
    expect(await plainContents(space.path('out'))).toEqual(await anew(request([input])));
  });

  it('is continued by the next one after an interruption, even if rows have changed again', async () => {
    const input = await space.write('in.jsonl', jsonl(old));
    await update(request([input]));
    const next = old.map((row, index) => (index < 30 ? { ...row, text: `new ${index}` } : row));
    await space.write('in.jsonl', jsonl(next));
    const controller = new AbortController();
    const onEmbed = (texts: readonly string[]): void => {
      if (texts.includes('new 25')) controller.abort();
    };
    const first = embedCorpus(request([input], { update: true }), fakeEmbedder({ onEmbed }), {
      signal: controller.signal,
    });
    await expect(first).rejects.toMatchObject({ code: 'aborted' });
    await space.write('in.jsonl', jsonl(next.with(45, { id: '45', text: 'late' })));
    const { computed } = await update(request([input]));
    expect(computed).not.toContain('new 5');
    expect(computed).not.toContain('text 35');
    expect(computed).toEqual(expect.arrayContaining(['new 25', 'late']));
    expect(await plainContents(space.path('out'))).toEqual(await anew(request([input])));
  });

  it('in an object store is identical too, and leaves no other objects', async () => {
    const input = await space.write('in.jsonl', jsonl(old));
    const wanted = request([input], { output: 's3://bucket/updated' });
    await update(wanted);
    await space.write('in.jsonl', jsonl([{ id: 'new', text: 'new' }, ...old.toSpliced(33, 1)]));
    await update(wanted);
    const stored = [...server.objects()].filter(([key]) => key.startsWith('updated/'));
    const files = stored.map(([key]) => plainNames(key.slice('updated/'.length)));
    expect(files.sort()).toEqual(Object.keys(await anew(wanted)).sort());
    expect(await textsOf(wanted.output)).toEqual(await textsOf(space.path('anew')));
    expect((await readManifest(wanted.output))?.run).toBeUndefined();
  });

  it('refuses another model, other options, and a folder from which rows were removed', async () => {
    const input = await space.write('in.jsonl', jsonl(old));
    await update(request([input]));
    const other = embedCorpus(request([input], { update: true }), fakeEmbedder({ model: 'other' }));
    await expect(other).rejects.toMatchObject({ code: 'space-mismatch' });
    await expect(update(request([input], { chunkRows: 20 }))).rejects.toThrow(/chunkRows was 10 and is 20/);
    await expect(update(request([input], { overwrite: true }))).rejects.toThrow(/cannot be combined/);
    await updateIndex(space.path('out'), { remove: ['3'] });
    await space.write('in.jsonl', jsonl(old.toSpliced(5, 1)));
    await expect(update(request([input]))).rejects.toThrow(/were removed or replaced/);
  });
});

it('file names have a content hash only if the file replaces another one', async () => {
  const input = await space.write('in.jsonl', jsonl([...rowsOf('old', 0, 25), { id: 'x' }]));
  const names = async (): Promise<string[]> =>
    (await readdir(space.path('out'))).map((name) => name.replace(/\.[0-9a-f]{16}\./u, '.#.')).sort();
  await embedCorpus(request([input]), fakeEmbedder());
  const plain = [
    'manifest.json',
    'rejected.jsonl',
    'shard-00000.parquet',
    'shard-00001.parquet',
    'shard-00002.parquet',
  ];
  expect(await names()).toEqual(plain);
  await rm(space.path('out/shard-00001.parquet'));
  await embedCorpus(request([input], { resume: true }), fakeEmbedder());
  expect(await names()).toEqual(plain);
  await space.write('in.jsonl', jsonl([...rowsOf('old', 0, 20), ...rowsOf('new', 20, 35)]));
  await embedCorpus(request([input], { overwrite: true }), fakeEmbedder());
  const replaced = ['rejected.#.jsonl', 'shard-00002.#.parquet', 'shard-00003.parquet'];
  expect(await names()).toEqual(['manifest.json', replaced[0], plain[2], plain[3], ...replaced.slice(1)]);
  await space.write('in.jsonl', jsonl(rowsOf('other', 0, 25)));
  await embedCorpus(request([input], { overwrite: true }), fakeEmbedder());
  const again = ['rejected.jsonl', 'shard-00000.#.parquet', 'shard-00001.#.parquet', 'shard-00002.parquet'];
  expect(await names()).toEqual(['manifest.json', ...again]);
});
