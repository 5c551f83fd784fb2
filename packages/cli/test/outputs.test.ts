import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { DuckDBInstance } from '@duckdb/node-api';
import type { Manifest } from '@sentvec/corpus';
import { tableFromIPC } from 'apache-arrow';
import { beforeAll, describe, expect, it } from 'vitest';
import { goldenPath } from '@sentvec/testing';
import { largestDifference, Workplace } from './sentvec.ts';

const place = new Workplace();
const model = goldenPath('models/tiny-bert');
const texts = [
  'A cat sleeps in the sun.',
  'Interest rates rose again.',
  'The match ended in a draw, "2 to 2".',
  'Zoë’s naïve café\nhas two lines',
  'Rain is expected.',
];
const ids = texts.map((_, index) => `text-${index}`);
let reference: { id: unknown; embedding: number[] }[];

/** Embeds the texts twice, with shards of two rows, and checks that both outputs are identical. */
async function embedTwice(folder: string, ...flags: string[]): Promise<void> {
  const words = ['embed', 'texts.jsonl', '--model', model, '--id', 'key', '--shard-rows', '2', ...flags, '--output'];
  for (const output of [folder, `${folder}-again`]) await place.succeed([...words, output]);
  const hashes = await place.hashes(folder);
  expect(Object.keys(hashes)).toContain('manifest.json');
  expect(await place.hashes(`${folder}-again`)).toEqual(hashes);
}

beforeAll(async () => {
  await place.writeRows(
    'texts.jsonl',
    texts.map((text, index) => ({ key: ids[index], text, length: text.length })),
  );
  await embedTwice('jsonl', '--format', 'jsonl');
  reference = await place.readVectors('jsonl');
});

async function query<T>(sql: string): Promise<T[]> {
  const instance = await DuckDBInstance.create();
  const connection = await instance.connect();
  try {
    return (await connection.runAndReadAll(sql)).getRowObjectsJson() as T[];
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}

async function shards(folder: string, ending: string): Promise<string[]> {
  const names = (await readdir(place.path(folder))).filter(
    (name) => name.startsWith('shard-') && name.endsWith(ending),
  );
  return names.sort().map((name) => place.path(`${folder}/${name}`));
}

describe('output formats are deterministic', () => {
  it('JSON Lines have an id and a vector', () => {
    expect(reference.map(({ id }) => id)).toEqual(ids);
    expect(reference.every((row) => Object.keys(row).join() === 'id,embedding' && row.embedding.length === 32)).toBe(
      true,
    );
  });

  it('Parquet is read by DuckDB, with ids and texts', async () => {
    await embedTwice('parquet', '--columns', 'text,length');
    const rows = await query<{ id: string; embedding: number[]; text: string; length: unknown }>(
      `SELECT * FROM read_parquet('${place.path('parquet')}/*.parquet') ORDER BY id`,
    );
    expect(rows.map(({ id }) => id)).toEqual(ids);
    expect(rows.map(({ text }) => text)).toEqual(texts);
    expect(rows.map(({ length }) => Number(length))).toEqual(texts.map(({ length }) => length));
    for (const [index, { embedding }] of rows.entries())
      expect(largestDifference(embedding, reference[index]!.embedding)).toBeLessThan(1e-6);
  });

  it('Arrow is read by apache-arrow', async () => {
    await embedTwice('arrow', '--format', 'arrow');
    const rows = (
      await Promise.all((await shards('arrow', '.arrow')).map(async (file) => [...tableFromIPC(await readFile(file))]))
    ).flat();
    expect(rows.map((row) => row['id'])).toEqual(ids);
    expect(rows.map((row) => row['text'])).toEqual(texts);
    for (const [index, row] of rows.entries())
      expect(largestDifference([...row['embedding']], reference[index]!.embedding)).toBeLessThan(1e-6);
  });

  it('npy is read by an independent reader, with ids in a separate file', async () => {
    await embedTwice('npy', '--format', 'npy');
    const vectors = (
      await Promise.all((await shards('npy', '.npy')).map(async (file) => readNpy(await readFile(file))))
    ).flat();
    expect(vectors).toHaveLength(texts.length);
    for (const [index, vector] of vectors.entries())
      expect(largestDifference(vector, reference[index]!.embedding)).toBeLessThan(1e-6);
    const companions = await place.readLines<{ id: string }>(
      (await readdir(place.path('npy')))
        .filter((name) => name.endsWith('.jsonl') && name.startsWith('shard-'))
        .map((name) => `npy/${name}`)[0]!,
    );
    expect(companions.map(({ id }) => id)).toEqual(ids.slice(0, 2));
  });
});

describe('inputs', () => {
  const csv = `key,text\n${texts.map((text, index) => `${ids[index]},"${text.replaceAll('"', '""')}"`).join('\n')}\n`;

  it.each<[string, () => Promise<string[]>, string?]>([
    ['CSV with quoted newlines', async () => [await place.write('table.csv', csv), '--id', 'key']],
    ['gzip', async () => [await place.write('table.csv.gz', gzipSync(csv)), '--id', 'key']],
    ['standard input', async () => ['-', '--input-format', 'csv', '--id', 'key'], csv],
    [
      'several files',
      async () => [
        await place.write('a.csv', csv.split('\n').slice(0, 3).join('\n')),
        await place.write('b.csv', `key,text\n${csv.split('\n').slice(3).join('\n')}`),
        '--id',
        'key',
      ],
    ],
  ])('%s', async (name, words, input) => {
    const output = name.replaceAll(' ', '-');
    await place.succeed(
      ['embed', ...(await words()), '--model', model, '--format', 'jsonl', '--output', output],
      input,
    );
    const rows = await place.readVectors(output);
    expect(rows.map(({ id }) => id)).toEqual(ids);
    for (const [index, { embedding }] of rows.entries())
      expect(largestDifference(embedding, reference[index]!.embedding)).toBeLessThan(1e-6);
  });

  it('paragraphs of plain text', async () => {
    await place.write('plain.txt', 'A cat sleeps\nin the sun.\n\n\nInterest rates rose again.\n');
    await place.succeed([
      'embed',
      'plain.txt',
      '--model',
      model,
      '--split',
      'paragraph',
      '--format',
      'jsonl',
      '--output',
      'plain',
    ]);
    const rows = await place.readVectors('plain');
    expect(rows).toHaveLength(2);
    expect(largestDifference(rows[0]!.embedding, reference[0]!.embedding)).toBeLessThan(1e-6);
  });
});

it('--truncate-dim and --precision are recorded in the manifest and applied to the vectors', async () => {
  const printed = await place.succeed([
    'embed',
    'texts.jsonl',
    '--model',
    model,
    '--truncate-dim',
    '16',
    '--precision',
    'ubinary',
    '--format',
    'jsonl',
    '--output',
    'small',
    '--json',
  ]);
  const manifest: Manifest & { output: string } = JSON.parse(printed);
  expect(manifest).toMatchObject({
    output: 'small',
    complete: true,
    dimension: 16,
    precision: 'ubinary',
    rows: 5,
    rejected: 0,
  });
  const rows = await place.readVectors('small');
  expect(
    rows.every(({ embedding }) => embedding.length === 2 && embedding.every((byte) => byte >= 0 && byte <= 255)),
  ).toBe(true);
});

it('--truncate-dim does not normalize the vectors, --normalize does', async () => {
  const small = ['--model', model, '--format', 'jsonl', '--truncate-dim', '16'];
  await place.succeed(['embed', 'texts.jsonl', '--model', model, '--format', 'jsonl', '--output', 'whole']);
  await place.succeed(['embed', 'texts.jsonl', ...small, '--output', 'first-16']);
  await place.succeed(['embed', 'texts.jsonl', ...small, '--normalize', '--output', 'first-16-normalized']);
  const [whole, first, normalized] = await Promise.all(
    ['whole', 'first-16', 'first-16-normalized'].map((folder) => place.readVectors(folder)),
  );
  for (const [row, { embedding }] of whole!.entries()) {
    const expected = embedding.slice(0, 16);
    const length = Math.hypot(...expected);
    expect(largestDifference(first![row]!.embedding, expected)).toBeLessThan(1e-7);
    expect(
      largestDifference(
        normalized![row]!.embedding,
        expected.map((entry) => entry / length),
      ),
    ).toBeLessThan(1e-6);
  }
});

/** The NumPy format, version 1: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html */
function readNpy(bytes: Buffer): number[][] {
  expect(bytes.subarray(0, 8)).toEqual(Buffer.from([0x93, ...Buffer.from('NUMPY'), 1, 0]));
  const headerLength = bytes.readUInt16LE(8);
  const header = bytes.subarray(10, 10 + headerLength).toString('latin1');
  expect(header).toMatch(/'descr': '<f4'/);
  expect(header).toMatch(/'fortran_order': False/);
  const [rows = 0, cols = 0] = /'shape': \((\d+), (\d+)\)/.exec(header)!.slice(1).map(Number);
  const start = 10 + headerLength;
  return Array.from({ length: rows }, (_, row) =>
    Array.from({ length: cols }, (__, column) => bytes.readFloatLE(start + (row * cols + column) * 4)),
  );
}

describe('a cache of vectors', () => {
  const rows = Array.from({ length: 60 }, (_, row) => ({
    text: `${'word '.repeat(1 + ((row * 7) % 23))}number ${row}`,
  }));
  const words = ['embed', 'many.jsonl', '--model', model, '--shard-rows', '16', '--output'];
  const hashesOf = async (folder: string, ...flags: string[]): Promise<object> => {
    await place.succeed([...words, folder, ...flags]);
    return place.hashes(folder);
  };

  it('does not change the shards, whether the cache is empty, complete, or from a corpus with other rows', async () => {
    await place.writeRows('many.jsonl', rows);
    const expected = await hashesOf('many');
    expect(await hashesOf('many-empty', '--cache', place.path('vectors'))).toEqual(expected);
    expect(await hashesOf('many-full', '--cache', place.path('vectors'))).toEqual(expected);
    await place.writeRows('many.jsonl', [{ text: 'a new first row' }, ...rows.with(40, { text: 'another text' })]);
    expect(await hashesOf('changed-cached', '--cache', place.path('vectors'))).toEqual(await hashesOf('changed'));
  });
});

it.skipIf(process.platform === 'win32')(
  'where a process may have 64 files open, the bytes are the same (Windows has no such limit)',
  async () => {
    const program = fileURLToPath(new URL('../bin/sentvec.mjs', import.meta.url));
    const words = ['embed', 'texts.jsonl', '--model', model, '--id', 'key', '--shard-rows', '2', '--format', 'jsonl'];
    const limited = ['-c', 'ulimit -n 64; exec "$@"', 'sh', process.execPath, program, ...words, '--output', 'limited'];
    await promisify(execFile)('sh', limited, { cwd: place.directory });
    expect(await place.hashes('limited')).toEqual(await place.hashes('jsonl'));
  },
);
