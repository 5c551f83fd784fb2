import { gzipSync } from 'node:zlib';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readTable } from '@sentvec/training/node';
import { errorOf } from './training-folder.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sentvec-tables-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const first = ['plain', 'with, "quotes"', 'two\nlines'];
const second = ['one', 'two', 'three'];
const labels = [0.5, 1, 0];
const rows = first.map((a, i) => ({ a, b: second[i]!, label: labels[i]! }));
const quoted = (text: string) => `"${text.replaceAll('"', '""')}"`;
const csv = (delimiter: string) => rows.map(({ a, b, label }) => [quoted(a), b, label].join(delimiter)).join('\n');
const jsonLines = rows.map((row) => JSON.stringify(row)).join('\n');
const parquet = () =>
  new Uint8Array(
    parquetWriteBuffer({
      columnData: [
        { name: 'a', data: first, type: 'STRING' },
        { name: 'b', data: second, type: 'STRING' },
        { name: 'label', data: labels, type: 'DOUBLE' },
      ],
    }),
  );

test.each([
  ['rows.jsonl', jsonLines],
  ['rows.jsonl.gz', gzipSync(jsonLines)],
  ['rows.csv', `\uFEFFa,b,label\n${csv(',')}\n`],
  ['rows.tsv', `a\tb\tlabel\n${csv('\t')}\n`],
  ['rows.csv.gz', gzipSync(`a,b,label\n${csv(',')}\n`)],
  ['rows.parquet', parquet()],
])('%s is read by the names of its columns', async (name, content) => {
  await writeFile(join(folder, name), content);
  const table = await readTable({ file: join(folder, name), columns: ['a', 'b'], label: 'label' });
  expect(table).toEqual({ columns: [first, second], labels });
});

test('a file without a header is read by numbers; labels may be names or lists', async () => {
  await writeFile(join(folder, 'bare.csv'), csv(','));
  const request = { file: join(folder, 'bare.csv'), columns: [1], header: false, label: 2 };
  expect(await readTable(request)).toEqual({ columns: [second], labels });
  expect(await readTable({ ...request, labelKind: 'class' })).toEqual({
    columns: [second],
    classes: ['0.5', '1', '0'],
  });
  await writeFile(join(folder, 'lists.jsonl'), '{"a":"x","v":[1,2]}\n{"a":"y","v":[3,4]}\n');
  const lists = [
    [1, 2],
    [3, 4],
  ];
  expect((await readTable({ file: join(folder, 'lists.jsonl'), columns: ['a'], label: 'v' })).labels).toEqual(lists);
});

test.each([
  ['a row that is no object', 'a.jsonl', '{"a":"x"}\n[1]\n', 'row 1 is not a JSON object'],
  ['broken JSON', 'b.jsonl', '{"a":"x"}\n{"a":\n', 'row 1 is not a JSON object'],
  ['a number where a text belongs', 'c.jsonl', '{"a":"x"}\n{"a":7}\n', 'row 1 has 7 in "a"'],
  ['an open quote', 'd.csv', 'a\n"x\n', 'd.csv'],
  ['a name that says no format', 'e.xlsx', 'x', 'e.xlsx: examples are read from'],
])('%s is an error that names file and row', async (_, name, content, words) => {
  await writeFile(join(folder, name), content);
  const error = await errorOf(() => readTable({ file: join(folder, name), columns: ['a'] }));
  expect(error.code).toBe('invalid-corpus');
  expect(error.message).toContain(words);
});
