// Inputs in a bucket result in the same vectors as local files, even if the store fails some requests.
import { gzipSync } from 'node:zlib';
import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { SentvecError } from '@sentvec/core';
import { embedCorpus, findInputs, openEmbeddings, readTable, type CorpusRequest } from '@sentvec/corpus';
import { startHub, startS3, type HubServer, type ObjectFault, type S3Server } from '@sentvec/testing';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { fakeEmbedder } from './fake-embedder.ts';
import { contents, workspace } from './workspace.ts';

const files = workspace();
let server: S3Server;
let hub: HubServer;

beforeAll(async () => {
  server = await startS3();
  hub = await startHub();
  // The Parquet threads copy the environment when they start.
  Object.assign(process.env, server.environment, { HF_ENDPOINT: hub.endpoint });
});
beforeEach(() => {
  server.setFault(undefined);
  server.objects().clear();
});
afterAll(() => Promise.all([server.close(), hub.stop()]));

const texts = Array.from({ length: 3000 }, (_, row) => `row ${row}, ${'word '.repeat(row % 40)}`);
const jsonLines = texts.map((text, id) => `${JSON.stringify({ id: `k${id}`, text })}\n`).join('');
const parquet = new Uint8Array(
  parquetWriteBuffer({
    columnData: [
      { name: 'id', data: texts.map((_, row) => `k${row}`) },
      { name: 'text', data: texts },
    ],
    rowGroupSize: 700,
  }),
);
const corpora: Readonly<Record<string, Uint8Array>> = {
  'a.jsonl': Buffer.from(jsonLines),
  'b.csv': Buffer.from(`id,text\r\n${texts.map((text, row) => `k${row},"${text}\n"\r\n`).join('')}`),
  'c.txt': Buffer.from(texts.join('\n')),
  'd.parquet': parquet,
  'e.jsonl.gz': gzipSync(jsonLines),
};

/** Fails some requests, in a reproducible order. */
function troubled(): void {
  let call = 0;
  const faults: readonly ObjectFault[] = [
    'lose-request',
    { cut: 100 },
    { instead: { status: 503, headers: { 'retry-after': '0' } } },
  ];
  server.setFault(() => {
    call += 1;
    return call % 5 === 0 ? faults[(call / 5) % faults.length] : undefined;
  });
}

async function embed(
  inputs: readonly string[],
  output: string,
  options: Partial<CorpusRequest> = {},
): Promise<Record<string, string>> {
  await embedCorpus({ inputs, output, chunkRows: 500, ...options }, fakeEmbedder());
  return contents(output);
}

it.each(Object.keys(corpora))('%s: the same shards as from a path', async (name) => {
  const path = await files.write(name, corpora[name]!);
  const expected = await embed([path], files.path('local'));
  server.put(`corpus/${name}`, corpora[name]!);
  troubled();
  const stored = await embed([`s3://bucket/corpus/${name}`], files.path('stored'));
  expect(Object.keys(stored)).toEqual(Object.keys(expected));
  const { 'manifest.json': manifest, ...shards } = stored;
  const { 'manifest.json': local, ...localShards } = expected;
  expect(shards).toEqual(localShards);
  expect(manifest!.replace(`s3://bucket/corpus/${name}`, path)).toBe(local);
  // There is nothing left to do, and only sizes and rows are read.
  await embed([`s3://bucket/corpus/${name}`], files.path('stored'), { resume: true });
});

it('a glob finds keys by their names, in order', async () => {
  for (const key of ['x/2.jsonl', 'x/10.jsonl', 'x/1.csv', 'x/y/3.jsonl', 'xy.jsonl', 'x/[1].jsonl', 'x/a+b c.jsonl'])
    server.put(key, '{}');
  const named = async (glob: string): Promise<string[]> =>
    (await findInputs([`s3://bucket/${glob}`])).map(({ name }) => name.slice(12));
  expect(await named('x/*.jsonl')).toEqual(['x/10.jsonl', 'x/2.jsonl', 'x/[1].jsonl', 'x/a+b c.jsonl']);
  expect(await named('x/**/*.jsonl')).toContain('x/y/3.jsonl');
  expect(await named('x*.jsonl')).toEqual(['xy.jsonl']);
  expect(await named('x/[1].jsonl')).toEqual(['x/[1].jsonl']);
  expect(await named('{x/2,xy}.jsonl')).toEqual(['x/2.jsonl', 'xy.jsonl']);
});

it.each([
  ['s3://bucket/none.jsonl', /There is no file s3:\/\/bucket\/none\.jsonl/u],
  ['s3://bucket/none/*.jsonl', /No file matches s3:\/\/bucket\/none\/\*\.jsonl/u],
  [
    's3://bucket/x/',
    /s3:\/\/bucket\/x\/ is a folder\. Name its files by a glob in quotes: "s3:\/\/bucket\/x\/\*\.jsonl"/u,
  ],
  ['s3://none/x.jsonl', /There is no bucket none/u],
])('says what is wrong with %s', async (input, expected) => {
  await expect(embedCorpus({ inputs: [input], output: files.path('out') }, fakeEmbedder())).rejects.toThrow(expected);
});

it('a run fails if an object changes meanwhile, and resume embeds the changed rows', async () => {
  server.put('in.jsonl', jsonLines);
  const request = { inputs: ['s3://bucket/in.jsonl'], output: files.path('out'), chunkRows: 500 };
  let batches = 0;
  const onEmbed = (): void => {
    batches += 1;
    if (batches === 3) server.put('in.jsonl', jsonLines.replace('row 2999', 'ROW 2999'));
  };
  await expect(embedCorpus(request, fakeEmbedder({ onEmbed }))).rejects.toMatchObject({
    code: 'invalid-corpus',
    message: expect.stringContaining('s3://bucket/in.jsonl has changed during the run') as string,
  });
  await embedCorpus({ ...request, resume: true }, fakeEmbedder());
  server.put('other.jsonl', jsonLines.replace('row 2999', 'ROW 2999'));
  const embeddings = await openEmbeddings(request.output);
  const all: string[] = [];
  for await (const { texts: some } of embeddings.batches()) all.push(...some!);
  expect(all.at(-1)).toMatch(/^ROW 2999/u);
});

it('many inputs are unpacked and planned beside each other, in their order, and one that is broken is named', async () => {
  const names = Array.from({ length: 9 }, (_, index) => `part-${index}.jsonl${index % 3 === 0 ? '.gz' : ''}`);
  for (const [index, name] of names.entries()) {
    const lines = jsonLines
      .split('\n')
      .slice(300 * index, 300 * index + 300)
      .join('\n');
    const content = name.endsWith('.gz') ? gzipSync(lines) : Buffer.from(lines);
    server.put(name, content);
    await files.write(name, content);
  }
  const expected = await embed(
    names.map((name) => files.path(name)),
    files.path('local'),
    { chunkRows: 100 },
  );
  let pending = 0;
  let most = 0;
  server.setFault(async ({ method }) => {
    if (method !== 'GET') return undefined;
    most = Math.max(most, (pending += 1));
    await sleep(20);
    pending -= 1;
    return undefined;
  });
  const inputs = names.map((name) => `s3://bucket/${name}`);
  const found = await embed(inputs, files.path('stored'), { chunkRows: 100 });
  expect(most).toBeGreaterThanOrEqual(3);
  const { 'manifest.json': _, ...shards } = found;
  const { 'manifest.json': __, ...local } = expected;
  expect(Object.keys(shards)).toHaveLength(28);
  expect(shards).toEqual(local);

  server.put('part-3.jsonl.gz', gzipSync(jsonLines).subarray(0, 500));
  server.put('part-6.jsonl.gz', Buffer.from([0x1f, 0x8b, 8, 0, 1, 2, 3]));
  const broken = embed(inputs, files.path('broken'));
  await expect(broken).rejects.toMatchObject({ code: 'invalid-corpus', details: { file: inputs[3] } });
  expect(await readdir(files.path('.'))).not.toContain('broken');
});

it('readTable() reads from a bucket', async () => {
  for (const name of ['a.jsonl', 'b.csv', 'd.parquet', 'e.jsonl.gz']) server.put(name, corpora[name]!);
  for (const name of ['a.jsonl', 'b.csv', 'd.parquet', 'e.jsonl.gz']) {
    const { columns } = await readTable({ file: `s3://bucket/${name}`, columns: ['text'] });
    expect(columns[0]!.map((text) => text.trim())).toEqual(texts.map((text) => text.trim()));
  }
});

it('no output file contains credentials', async () => {
  server.put('in.jsonl', jsonLines);
  let batches = 0;
  const onEmbed = (): void => {
    batches += 1;
    if (batches === 3) throw new SentvecError('aborted', 'Stopped by the test.');
  };
  const request = { inputs: ['s3://bucket/in.jsonl'], output: files.path('out'), chunkRows: 500 };
  await expect(embedCorpus(request, fakeEmbedder({ onEmbed }))).rejects.toThrow(/Stopped/u);
  for (const [, text] of Object.entries(await contents(files.path('out'))))
    expect(text).not.toMatch(/\bsecret\b|AWS4/u);
  expect(await readFile(`${files.path('out')}/manifest.json`, 'utf8')).toContain('s3://bucket/in.jsonl');
});

it('a data set is read at the commit of its branch at the start of the run, even after a resume', async () => {
  const first = { commit: 'a'.repeat(40), files: { 'data/a.jsonl': Buffer.from(jsonLines), 'd.parquet': parquet } };
  const other = { 'data/a.jsonl': Buffer.from(jsonLines.replaceAll('row', 'other')), 'd.parquet': new Uint8Array(9) };
  hub.repositories.set('datasets/owner/name', first);
  await files.write('data/a.jsonl', jsonLines);
  await files.write('d.parquet', parquet);
  const local = await embed([files.path('data/a.jsonl'), files.path('d.parquet')], files.path('local'));
  const request = {
    inputs: ['hf://datasets/owner/name/**/*.jsonl', 'hf://datasets/owner/name/d.parquet'],
    output: files.path('out'),
    chunkRows: 500,
  };
  let batches = 0;
  const onEmbed = (): void => {
    batches += 1;
    if (batches === 3)
      hub.repositories.set('datasets/owner/name', {
        ...first,
        commit: 'b'.repeat(40),
        files: other,
        earlier: [first],
      });
    if (batches === 5) throw new SentvecError('aborted', 'Stopped by the test.');
  };
  await expect(embedCorpus(request, fakeEmbedder({ onEmbed }))).rejects.toThrow(/Stopped/u);
  hub.repositories.set('datasets/owner/name', { ...first, commit: 'c'.repeat(40), earlier: [first] });
  const { 'manifest.json': manifest, ...shards } = await embed(request.inputs, request.output, { resume: true });
  const { 'manifest.json': _, ...localShards } = local;
  expect(shards).toEqual(localShards);
  expect(manifest).toContain('"hf://datasets/owner/name/data/a.jsonl"');
});
