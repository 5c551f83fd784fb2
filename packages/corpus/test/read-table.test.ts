import { gzipSync } from 'node:zlib';
import { SentvecError } from '@sentvec/core';
import { readTable, sampleTexts, type TableRequest } from '@sentvec/corpus';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { describe, expect, it } from 'vitest';
import { workspace } from './workspace.ts';

const space = workspace();

const first = ['plain', 'with, "quotes"', 'two\nlines', 'café\t☕'];
const second = ['one', 'two', 'three', '  four '];
const labels = [0.5, 1, 0, -2];
const rows = first.map((a, index) => ({ a, b: second[index]!, label: labels[index]! }));
const quoted = (text: string) => `"${text.replaceAll('"', '""')}"`;
const csv = (delimiter: string) => rows.map(({ a, b, label }) => [quoted(a), b, label].join(delimiter)).join('\r\n');
const jsonLines = rows.map((row) => JSON.stringify(row)).join('\n');

function parquet(rowGroupSize?: number): Uint8Array {
  const columnData = [
    { name: 'a', data: first, type: 'STRING' as const },
    { name: 'b', data: second, type: 'STRING' as const },
    { name: 'label', data: labels, type: 'DOUBLE' as const },
  ];
  return new Uint8Array(parquetWriteBuffer({ columnData, ...(rowGroupSize && { rowGroupSize }) }));
}

describe('readTable', () => {
  it.each<[string, string | Uint8Array]>([
    ['rows.jsonl', jsonLines],
    ['rows.ndjson', `\uFEFF\n${jsonLines}\n\n`],
    ['rows', jsonLines],
    ['rows.jsonl.gz', gzipSync(jsonLines)],
    ['packed.jsonl', gzipSync(jsonLines)],
    ['rows.csv', `\uFEFFa,b,label\n\n${csv(',')}\n`],
    ['rows.tsv', `a\tb\tlabel\n${csv('\t')}\n`],
    ['rows.csv.gz', gzipSync(`a,b,label\n${csv(',')}\n`)],
    ['rows.parquet', parquet()],
    ['groups.parquet', parquet(3)],
  ])('reads %s by the names of its columns', async (name, content) => {
    const file = await space.write(name, Buffer.from(content));
    const table = await readTable({ file, columns: ['a', 'b'], label: 'label' });
    expect(table).toEqual({ columns: [first, second], labels });
  });

  it.each<[string, string | Uint8Array]>([
    ['rows.csv', `a,b,label\n${csv(',')}\n`],
    ['rows.parquet', parquet()],
  ])('reads %s by the numbers of its columns', async (name, content) => {
    const file = await space.write(name, Buffer.from(content));
    expect(await readTable({ file, columns: [1], label: 2 })).toEqual({ columns: [second], labels });
  });

  it('reads CSV without a header, and detects that there is none', async () => {
    const bare = await space.write('bare.csv', csv(','));
    const headed = await space.write('headed.csv', `a,b,label\n${csv(',')}`);
    const request = { columns: [1], label: 2 } as const;
    const expected = { columns: [second], labels };
    expect(await readTable({ ...request, file: bare, header: false })).toEqual(expected);
    expect(await readTable({ ...request, file: bare, header: 'auto' })).toEqual(expected);
    expect(await readTable({ ...request, file: headed, header: 'auto' })).toEqual(expected);
    const empty = await space.write('empty.csv', '');
    expect(await readTable({ ...request, file: empty, header: 'auto' })).toEqual({ columns: [[]], labels: [] });
  });

  it('accepts labels that are strings or arrays of numbers', async () => {
    const bare = await space.write('bare.csv', csv(','));
    expect(await readTable({ file: bare, columns: [1], header: false, label: 2, labelKind: 'class' })).toEqual({
      columns: [second],
      classes: ['0.5', '1', '0', '-2'],
    });
    const lists = await space.write('lists.jsonl', '{"a":"x","v":[1,2]}\n{"a":"y","v":[3,4]}\n');
    expect((await readTable({ file: lists, columns: ['a'], label: 'v' })).labels).toEqual([
      [1, 2],
      [3, 4],
    ]);
  });

  it('reads rows longer than a read block, and blocks that end within a character', async () => {
    const long = '€'.repeat(200_000);
    const file = await space.write('long.csv', `a,b\n"${long}",short\nshort,"${long}"\n`);
    expect(await readTable({ file, columns: ['a', 'b'] })).toEqual({
      columns: [
        [long, 'short'],
        ['short', long],
      ],
    });
  });

  it.each<[what: string, name: string, content: string | Buffer, request: Partial<TableRequest>, message: RegExp]>([
    [
      'a row that is not an object',
      'a.jsonl',
      '{"a":"x"}\n\n[1]\n',
      {},
      /a\.jsonl, row 1 \(line 3\): .*not a JSON object/,
    ],
    ['broken JSON', 'b.jsonl', '{"a":"x"}\n{"a":\n', {}, /b\.jsonl, row 1 \(line 2\): .*not valid JSON/],
    ['a number for a text', 'c.jsonl', '{"a":"x"}\n{"a":7}\n', {}, /row 1 \(line 2\): The field "a" is a number/],
    ['a field that is not there', 'd.jsonl', '{"b":"x","c":1}\n', {}, /row 0 \(line 1\): .*no field "a".*b, c/],
    ['a column that is not there', 'e.csv', 'b,c\nx,y\n', {}, /e\.csv has no column "a"\. Its columns: b, c/],
    ['two columns of a name', 'f.csv', 'a,a\nx,y\n', {}, /f\.csv has two columns "a"/],
    ['an open quote', 'g.csv', 'a\n"x\n', {}, /g\.csv: the quote that opens a field on line 2/],
    ['a missing header', 'h.csv', '', {}, /h\.csv has no header/],
    ['too many fields', 'i.csv', 'a\nx\ny,z\n', {}, /i\.csv, row 1 \(line 3\): The record has 2 fields/],
    [
      'a label that is not a number',
      'j.csv',
      'a,l\nx,1\ny,much\n',
      { label: 'l' },
      /row 1 \(line 3\): The label in "l" is "much"/,
    ],
    [
      'no class',
      'k.csv',
      'a,l\nx,1\ny,\n',
      { label: 'l', labelKind: 'class' },
      /row 1 \(line 3\): .*not the name of a class/,
    ],
    [
      'bytes that are not UTF-8',
      'l.csv',
      Buffer.from('a\ncafé\n', 'latin1'),
      {},
      /row 0 \(line 2\): .*not valid UTF-8/,
    ],
    ['UTF-16', 'm.csv', Buffer.from('\uFEFFa\nx\n', 'utf16le'), {}, /m\.csv is UTF-16/],
    ['plain text', 'n.txt', 'a\nx\n', {}, /n\.txt is not a table/],
    ['Parquet in name only', 'o.parquet', 'a\nx\n', {}, /o\.parquet is a broken Parquet file/],
    ['a broken gzip', 'p.csv.gz', gzipSync('a\nx\n'.repeat(1000)).subarray(0, 30), {}, /p\.csv\.gz is a broken gzip/],
  ])('refuses %s with an error that names the location', async (_what, name, content, request, message) => {
    const file = await space.write(name, content);
    const error: unknown = await readTable({ file, columns: ['a'], ...request }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(SentvecError);
    expect(error).toMatchObject({ code: 'invalid-corpus', message: expect.stringMatching(message), details: { file } });
  });

  it('refuses a missing file, and a folder', async () => {
    const missing = space.path('none.csv');
    await expect(readTable({ file: missing, columns: ['a'] })).rejects.toMatchObject({
      code: 'invalid-corpus',
      message: `There is no file ${missing}. Check the path.`,
    });
    await expect(readTable({ file: space.path('.'), columns: ['a'] })).rejects.toMatchObject({
      code: 'invalid-corpus',
    });
  });
});

describe('sampleTexts', () => {
  const lines = Array.from({ length: 1000 }, (_, index) => `text ${index}`);

  it('samples texts evenly from a file, the same ones each time, without blank ones', async () => {
    const file = await space.write('lines.txt', `\n${lines.join('\n\n')}\n`);
    const texts = await sampleTexts({ file, count: 30 });
    expect(texts).toHaveLength(30);
    const places = texts.map((text) => Number(text.slice(5)));
    expect(places[0]).toBe(0);
    expect(places.at(-1)).toBeGreaterThan(900);
    expect(Math.max(...places.slice(1).map((place, index) => place - places[index]!))).toBeLessThan(80);
    expect(await sampleTexts({ file, count: 30 })).toEqual(texts);
    expect(await sampleTexts({ file, count: 5000 })).toEqual(lines);
  });

  it('reads a column in other formats, with or without gzip', async () => {
    const content = lines.map((body) => JSON.stringify({ body })).join('\n');
    const file = await space.write('lines.jsonl.gz', gzipSync(content));
    expect(await sampleTexts({ file, column: 'body', count: 1000 })).toEqual(lines);
    await expect(sampleTexts({ file, count: 10 })).rejects.toThrow('text');
    await expect(sampleTexts({ file, count: 10, column: 'body', signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'aborted',
    });
  });
});
