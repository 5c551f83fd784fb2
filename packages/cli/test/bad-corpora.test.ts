import { existsSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import type { Manifest, RejectedRow } from '@sentvec/corpus';
import { goldenPath } from '@sentvec/testing';
import { describe, expect, it } from 'vitest';
import { finished, Workplace } from './sentvec.ts';

const place = new Workplace();
const model = goldenPath('models/tiny-bert');
const flags = ['--model', model, '--format', 'jsonl'];

describe('rows that cannot be embedded', () => {
  const lines: [content: string | Buffer, rejected: string | undefined][] = [
    ['\uFEFF{"text": "after a byte order mark"}', undefined],
    ['{"text": "ends in carriage return"}\r', undefined],
    ['{"text": "broken', 'invalid-json'],
    ['{"words": "no text"}', 'missing-field'],
    ['{"text": 42}', 'not-text'],
    [Buffer.from([...Buffer.from('{"text": "'), 0xff, 0xfe, ...Buffer.from('"}')]), 'invalid-utf8'],
    ['{"text": "with a \\u0000 in it"}', undefined],
    ['{"text": "a lone surrogate \\ud83d here"}', undefined],
    ['{"text": ""}', undefined],
    ['{"text": "   "}', undefined],
    ['{"text": "\\ud83d\\ude00\\ud83d\\udc4d\\ud83c\\udffd"}', undefined],
    [`{"text": "${'long '.repeat(200_000)}"}`, undefined],
    ['{"text": "the last one"}', undefined],
  ];
  const content = Buffer.concat(lines.flatMap(([line]) => [Buffer.from(line), Buffer.from('\n')]));

  it('are listed with file, row and reason; all other rows have a vector', async () => {
    await place.write('rows.jsonl', content);
    const { code, stderr } = await place.run(['embed', 'rows.jsonl', ...flags, '--output', 'rows']);
    const list = await place.listedName('rows', 'rejected', '.jsonl');
    expect(stderr).toContain(`4 rows were rejected, see ${list}`);
    expect(code).toBe(0);
    const rejectedRows = await place.readLines<RejectedRow>(list);
    const expected = lines.map(([, why], row) => ({ row, why })).filter(({ why }) => why !== undefined);
    expect(rejectedRows.map(({ row, code: why }) => ({ row, why }))).toEqual(expected);
    for (const { file, row, line, reason } of rejectedRows) {
      expect(file).toBe('rows.jsonl');
      expect(line).toBe(row + 1);
      expect(reason).toMatch(/\w+.*\.$/);
    }
    const vectors = await place.readVectors('rows');
    expect(vectors.map(({ id }) => id)).toEqual(lines.flatMap(([, why], row) => (why === undefined ? [row] : [])));
    for (const { embedding } of vectors) expect(embedding.every(Number.isFinite)).toBe(true);
  });

  it('make the command exit with 3 under --strict, without a complete output', async () => {
    await place.write('rows.jsonl', content);
    const { code, stdout, stderr } = await place.run([
      'embed',
      'rows.jsonl',
      ...flags,
      '--output',
      'strict',
      '--strict',
    ]);
    expect(stderr).toMatch(/rows\.jsonl, row 2 \(line 3\).*--strict/);
    expect(code).toBe(3);
    expect(stdout).toBe('');
    expect(await looksFinished('strict')).toBe(false);
  });
});

it('a line of 10 MB has a vector, or is rejected with its file and row', async () => {
  await place.write('long.jsonl', `{"text": "${'word '.repeat(2_000_000)}"}\n{"text": "short"}\n`);
  await place.succeed(['embed', 'long.jsonl', ...flags, '--output', 'long']);
  const rejected = await place.readLines<RejectedRow>(await place.listedName('long', 'rejected', '.jsonl'));
  const vectors = await place.readVectors('long');
  expect(vectors.length + rejected.length).toBe(2);
  for (const { file, row, code } of rejected) {
    expect({ file, row }).toEqual({ file: 'long.jsonl', row: 0 });
    expect(['too-long', 'invalid-text']).toContain(code);
  }
});

it('the default model, which has no special tokens, rejects texts without tokens', async () => {
  await place.writeRows('empty.jsonl', [{ text: 'something' }, { text: '' }]);
  await place.succeed(['embed', 'empty.jsonl', '--format', 'jsonl', '--output', 'empty']);
  expect(await place.readLines<RejectedRow>(await place.listedName('empty', 'rejected', '.jsonl'))).toMatchObject([
    { file: 'empty.jsonl', row: 1, code: 'invalid-text' },
  ]);
});

describe('inputs that cannot be read', () => {
  it.each<[string, string[], RegExp]>([
    ['a file that is not there', ['no-such-file.txt'], /no-such-file\.txt/],
    ['a glob without files', ['no-such-*.txt'], /no-such-\*\.txt/],
    ['a column that is not there', ['table.csv', '--text', 'body'], /table\.csv.*body/],
  ])('%s', async (name, words, names) => {
    await place.write('table.csv', 'text,number\nhello,1\n');
    const output = name.replaceAll(' ', '-');
    const { code, stderr } = await place.run(['embed', ...words, ...flags, '--output', output]);
    expect(stderr).toMatch(names);
    expect(code).toBe(1);
    expect(existsSync(place.path(output))).toBe(false);
  });
});

describe('existing output folders', () => {
  it('of another vector space: the message names the difference, and nothing changes', async () => {
    await place.write('text.txt', 'hello\n');
    await place.succeed(['embed', 'text.txt', ...flags, '--output', 'space']);
    const before = await place.hashes('space');
    const other = [
      'embed',
      'text.txt',
      '--format',
      'jsonl',
      '--model',
      goldenPath('models/tiny-mpnet'),
      '--output',
      'space',
      '--resume',
    ];
    const { code, stderr } = await place.run(other);
    expect(stderr).toMatch(/space has vectors of another space.*weights.*--overwrite/s);
    expect(code).toBe(1);
    expect(await place.hashes('space')).toEqual(before);
  });

  it('with finished vectors: the message names --resume and --overwrite', async () => {
    await place.write('text.txt', 'hello\n');
    const words = ['embed', 'text.txt', ...flags, '--output', 'finished'];
    await place.succeed(words);
    const { code, stderr } = await place.run(words);
    expect(stderr).toMatch(/finished.*--resume.*--overwrite/);
    expect(code).toBe(1);
  });

  it('with other files: they are not changed', async () => {
    await place.write('text.txt', 'hello\n');
    const { code, stderr } = await place.run(['embed', 'text.txt', ...flags, '--output', '.']);
    expect(stderr).toMatch(/other files/);
    expect(code).toBe(1);
  });
});

it('a file that cannot grow, as on a full disk: the message names the file and --resume, and the output is not complete', async () => {
  await place.writeRows(
    'many.jsonl',
    Array.from({ length: 600 }, (_, row) => ({ text: `row ${row} of many` })),
  );
  const words = ['embed', 'many.jsonl', ...flags, '--output', 'full'];
  await place.succeed(['info', model]); // This puts the ONNX graph of the model into the cache.
  const { code, stdout, stderr } = await finished(place.startLimited(words, 64));
  expect(stderr).toMatch(/^sentvec: Writing failed: .*full\/shard-00000\.jsonl \(EFBIG\)\. \S/);
  expect(code).toBe(1);
  expect(stdout).toBe('');
  expect(await looksFinished('full')).toBe(false);
  await place.succeed([...words, '--resume']);
  expect(await looksFinished('full')).toBe(true);
});

async function looksFinished(output: string): Promise<boolean> {
  if (!existsSync(place.path(`${output}/manifest.json`))) return false;
  const manifest: Manifest = JSON.parse(await readFile(place.path(`${output}/manifest.json`), 'utf8'));
  const listed = manifest.shards.length > 0 || manifest.rejectedRows !== undefined;
  return manifest.complete && listed;
}

it('sentvec verify names missing and damaged files, and --resume --verify recomputes them', async () => {
  await place.writeRows(
    'twelve.jsonl',
    Array.from({ length: 12 }, (_, row) => ({ text: `text ${row}` })),
  );
  const words = [
    'embed',
    'twelve.jsonl',
    '--model',
    model,
    '--shard-rows',
    '4',
    '--format',
    'npy',
    '--output',
    'twelve',
  ];
  await place.succeed(words);
  const whole = await place.hashes('twelve');
  expect(await place.succeed(['verify', 'twelve'])).toMatch(/^twelve is whole: 7 files, .* 12 vectors\./);
  const damaged = await place.listedName('twelve', 'shard-00001', '.npy');
  const missing = await place.listedName('twelve', 'shard-00002', '.ids.jsonl');
  const flipped = await readFile(place.path(damaged));
  flipped[flipped.length - 1]! ^= 1;
  await writeFile(place.path(damaged), flipped);
  await rm(place.path(missing));
  const { code, stdout } = await place.run(['verify', 'twelve']);
  expect(code).toBe(1);
  expect(stdout.startsWith(`${damaged} is damaged.\n${missing} is missing.\n`)).toBe(true);
  await place.succeed([...words, '--resume', '--verify']);
  expect(await place.hashes('twelve')).toEqual(whole);
  expect(await place.run(['verify', 'nothing-there'])).toMatchObject({ code: 1 });
  expect(await place.run(['verify'])).toMatchObject({ code: 2 });
});
