/** Values keep all their digits and characters, or their row is rejected; no row is lost. */
import { DuckDBInstance } from '@duckdb/node-api';
import { embedCorpus, openEmbeddings, readTable, type CorpusRequest, type OutputFormat } from '@sentvec/corpus';
import { parquetMetadata, type FileMetaData } from 'hyparquet';
import { ByteWriter, parquetWriteBuffer } from 'hyparquet-writer';
import { writeMetadata } from 'hyparquet-writer/src/metadata.js';
import { describe, expect, it } from 'vitest';
import { fakeEmbedder } from './fake-embedder.ts';
import { readParquetRows, readParquetSummary } from '../src/parquet/parquet-reader.ts';
import { readRejected, workspace } from './workspace.ts';

const space = workspace();
let outputs = 0;

/** Embeds a file. @returns the written ids, the stored columns by name, and the codes of rejected rows */
async function embedded(
  input: string,
  more: Partial<CorpusRequest> = {},
): Promise<{ ids: unknown[]; columns: Record<string, unknown[]>; rejected: string[] }> {
  outputs += 1;
  const output = space.path(`out-${outputs}`);
  const manifest = await embedCorpus({ inputs: [input], output, columns: ['text'], ...more }, fakeEmbedder());
  const ids: unknown[] = [];
  const columns: Record<string, unknown[]> = {};
  const embeddings = await openEmbeddings(output);
  for await (const batch of embeddings.batches()) {
    ids.push(...batch.ids);
    for (const [name, values] of Object.entries(batch.columns)) (columns[name] ??= []).push(...values);
  }
  const rejected = (await readRejected(output)).map(({ row, code }) => `${row}: ${code}`);
  expect([manifest.rows, manifest.rejected]).toEqual([ids.length, rejected.length]);
  return { ids, columns, rejected };
}

const formats: readonly OutputFormat[] = ['parquet', 'npy', 'arrow', 'jsonl'];

describe('JSON lines', () => {
  it('keep all digits of numbers that JavaScript cannot represent, in ids, columns and nested values', async () => {
    const numbers = ['9007199254740993', '-18446744073709551615', '1e400', '-1e-400', '0.12345678901234567891'];
    const exact = ['1', '-0.5', '1e5', '9007199254740991', '0.1', '1.7976931348623157e308', '5e-324', '100.00'];
    const lines = [...numbers, ...exact].map(
      (number, row) =>
        `{"text":"${number} ${row}","key":${number.replace('-', '')},"value":${number},"deep":[{"v":${number}}]}\n`,
    );
    const input = await space.write('numbers.jsonl', lines.join(''));
    for (const format of ['jsonl', 'npy'] as const) {
      const { columns, rejected } = await embedded(input, { format, columns: ['value', 'deep'] });
      const expected = [...numbers, ...exact.map(Number)];
      expect(rejected).toEqual([]);
      expect(columns['value']).toEqual(expected);
      expect(columns['deep']).toEqual(expected.map((v) => [{ v }]));
    }
    const text = await embedded(input, { format: 'parquet', columns: ['value', 'deep'] });
    expect(text.columns['value']!.slice(0, 3)).toEqual(numbers.slice(0, 3));
    const ids = ['9007199254740992', '9007199254740993', '18446744073709551615', '7'];
    const big = ids.map((id) => `{"text":"9007199254740993","id":${id}}\n`).join('');
    expect((await embedded(await space.write('ids.jsonl', big), { idField: 'id' })).ids).toEqual(ids);
  });

  it('with a value that cannot be written reject only that row', async () => {
    const deep = `${'['.repeat(200_000)}${']'.repeat(200_000)}`;
    const input = await space.write(
      'deep.jsonl',
      `{"text":"a","x":1}\n{"text":"b","x":${deep}}\n{"text":"c","x":[]}\n`,
    );
    for (const format of formats) {
      const { columns, rejected } = await embedded(input, { format, columns: ['text', 'x'] });
      expect([columns['text'], rejected]).toEqual([['a', 'c'], ['1: invalid-value']]);
    }
    expect((await embedded(input)).rejected).toEqual([]);
  });

  it('reject rows whose ids have unpaired surrogates, because different ids would become equal', async () => {
    const rows = ['"\\ud800"', '"\\udc00x"', '"\\ud83d\\ude00"', '"a"'].map((id) => `{"id":${id},"text":"t"}\n`);
    const input = await space.write('halves.jsonl', rows.join(''));
    for (const format of formats) {
      const { ids, rejected } = await embedded(input, { format, idField: 'id' });
      expect([ids, rejected]).toEqual([
        ['😀', 'a'],
        ['0: invalid-id', '1: invalid-id'],
      ]);
    }
  });
});

describe('a key that occurs twice in a JSON object', () => {
  it('rejects the row if the key is read, because JSON.parse would silently keep only the last value', async () => {
    const lines = [
      '{"text":"a","text":"b"}',
      '{"te\\u0078t":"a","text":"b"}',
      '{"text":"c","meta":{"a":1,"b":{"a":2},"a":1}}',
      '{"text":"text","meta":[{"a":"\\"a\\":1"},{"a":2}],"other":{"a":1,"a":2},"x":1,"x":2}',
      '{"meta" : {"text":1,"meta":{"text":2}} , "text" : "\\"text\\":\\"\\u00e9 {"}',
      '{"text":"d","meta":null,"a/b":1,"a\\/b":2}',
    ];
    const input = await space.write('twice.jsonl', `${lines.join('\n')}\n`);
    const { columns, rejected } = await embedded(input, { format: 'jsonl', columns: ['text', 'meta', 'a/b'] });
    expect(rejected).toEqual(['0: invalid-json', '1: invalid-json', '2: invalid-json', '5: invalid-json']);
    expect(columns['text']).toEqual(['text', '"text":"é {']);
    expect(columns['meta']).toEqual([[{ a: '"a":1' }, { a: 2 }], { text: 1, meta: { text: 2 } }]);
    expect((await embedded(input, { columns: ['text'] })).columns['text']).toEqual(['c', 'text', '"text":"é {', 'd']);
    await expect(readTable({ file: input, columns: ['text'] })).rejects.toThrow(
      /twice\.jsonl, row 0 \(line 1\): The key "text" occurs twice/u,
    );
    const scores = await space.write('scores.jsonl', '{"text":"a","score":1,"score":0}\n');
    await expect(readTable({ file: scores, columns: ['text'], label: 'score' })).rejects.toThrow(
      /"score" occurs twice/u,
    );
  });
});

describe('a U+FEFF at the start of a text', () => {
  const values = ['\uFEFFa', '\uFEFF', 'a\uFEFF', '\uFEFF\uFEFFb', 'plain'];

  it.each(formats)('is kept, in %s', async (format) => {
    const rows = values.map((value) => ({ id: value, text: `x${value}`, kept: value }));
    const input = await space.write('bom.jsonl', rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
    const { ids, columns } = await embedded(input, { format, idField: 'id', columns: ['text', 'kept'] });
    expect([ids, columns['kept'], columns['text']]).toEqual([values, values, values.map((value) => `x${value}`)]);
  });

  it('is kept, from Parquet and from CSV', async () => {
    const columnData = [
      { name: 'id', data: values, type: 'STRING' as const },
      { name: 'text', data: values.map((value) => `x${value}`), type: 'STRING' as const },
    ];
    const parquet = await space.write('bom.parquet', new Uint8Array(parquetWriteBuffer({ columnData })));
    const csv = await space.write(
      'bom.csv',
      `\uFEFFid,text\n${values.map((value) => `${value},x${value}\n`).join('')}`,
    );
    for (const input of [parquet, csv])
      expect((await embedded(input, { idField: 'id', format: 'arrow' })).ids).toEqual(values);
  });
});

describe('CSV', () => {
  it('with carriage returns as line ends is read completely, in chunks of any size', async () => {
    const lines = ['id,text', '1,a', '2,"b\rb"', '', '3,"c ""c"""', 'four', '5,e'];
    for (const end of ['\r', '\r\n', '\n']) {
      const input = await space.write('mac.csv', lines.join(end) + end);
      for (const chunkRows of [1, 2, 100]) {
        const { ids, columns, rejected } = await embedded(input, { idField: 'id', chunkRows });
        expect(ids).toEqual(['1', '2', '3', '5']);
        expect(columns['text']).toEqual(['a', 'b\rb', 'c "c"', 'e']);
        expect(rejected).toEqual(['3: invalid-csv']);
      }
    }
    const table = await space.write('mac.tsv', 'text\tlabel\ra\t1\rb\t2\r');
    expect(await readTable({ file: table, columns: ['text'], label: 'label' })).toEqual({
      columns: [['a', 'b']],
      labels: [1, 2],
    });
    const text = await space.write('mac.txt', 'one\rtwo\r\rthree\r');
    expect((await embedded(text)).columns['text']).toEqual(['one', 'two', '', 'three']);
    expect((await embedded(text, { split: 'paragraph' })).columns['text']).toEqual(['one two', 'three']);
    const json = await space.write('mac.jsonl', '{"text":"a"}\r{"text":"b"}\r');
    expect((await embedded(json)).columns['text']).toEqual(['a', 'b']);
  });

  it('accepts a header of more than a megabyte, and error messages about it are short', async () => {
    const columns = Array.from({ length: 150_000 }, (_, index) => `column${index}`);
    const input = await space.write(
      'wide.csv',
      `text,${columns.join(',')}\nhello,${columns.map(() => '').join(',')}\n`,
    );
    expect(await embedded(input)).toMatchObject({ columns: { text: ['hello'] }, rejected: [] });
    const error: unknown = await embedded(input, { textField: 'no' }).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'invalid-corpus' });
    expect((error as Error).message.length).toBeLessThan(1000);
    const long = await space.write('long.csv', `text,${'x'.repeat(100_000)}\na,b\n`);
    const other: unknown = await embedded(long, { textField: 'no' }).catch((reason: unknown) => reason);
    expect((other as Error).message.length).toBeLessThan(1000);
  });

  it.each([
    ['text', 'text,text\na,b\n', {}],
    ['id', 'id,id,text\n1,2,a\n', { idField: 'id' }],
    ['kept', 'kept,text,kept\n1,a,2\n', { columns: ['text', 'kept'] }],
  ])('with two columns "%s" is refused only if that column is read', async (name, content, wanted) => {
    const input = await space.write('twice.csv', content);
    await expect(embedded(input, wanted)).rejects.toMatchObject({
      code: 'invalid-corpus',
      message: expect.stringContaining(`two columns "${name}"`) as string,
    });
    const spare = await space.write(
      'spare.csv',
      content.replaceAll('text', name).replace('\n', ',real\n').replace(/\n$/, ',t\n'),
    );
    expect((await embedded(spare, { textField: 'real', columns: [] })).ids).toEqual([0]);
  });
});

describe('Parquet', () => {
  async function writeByDuckdb(select: string): Promise<string> {
    const path = space.path('duck.parquet');
    const connection = await (await DuckDBInstance.create(':memory:')).connect();
    try {
      await connection.run(`copy (${select}) to '${path}' (format parquet)`);
    } finally {
      connection.disconnectSync();
    }
    return path;
  }

  it('keeps binary values, refuses texts that are not UTF-8, and reads unannotated byte arrays as texts', async () => {
    const input = await writeByDuckdb(
      `select * from (values ('\\xAA\\x01'::blob, 'one'::blob, '\\xFF\\xD8\\xFF'::blob, 'k1'), ('\\xAB\\x01'::blob, 'caf\\xE9'::blob, '\\x00\\x80'::blob, 'k2'),
       ('fine'::blob, 'caf\\xC3\\xA9'::blob, 'text'::blob, 'k3')) v(raw, text, image, key)`,
    );
    const { columns, rejected } = await embedded(input, { columns: ['text', 'image', 'key'] });
    expect(rejected).toEqual(['1: invalid-utf8']);
    expect(columns).toEqual({ text: ['one', 'café'], image: ['/9j/', 'dGV4dA=='], key: ['k1', 'k3'] });
    const ids = await embedded(input, { textField: 'key', idField: 'raw', columns: [] });
    expect([ids.ids, ids.rejected]).toEqual([['fine'], ['0: invalid-utf8', '1: invalid-utf8']]);
    await expect(readTable({ file: input, columns: ['text'] })).rejects.toMatchObject({
      code: 'invalid-corpus',
      message: expect.stringMatching(/row 1: The field "text" is not valid UTF-8/) as string,
    });
  });

  it('rejects rows whose id is NaN, which pandas uses for missing values, and keeps NaN in other columns', async () => {
    const rows = "(7::double, 'a', 'nan'::float), ('nan', 'b', 1), ('inf', 'c', 'inf'), (8, 'd', 0.5)";
    const input = await writeByDuckdb(`select * from (values ${rows}) v(key, text, score)`);
    const { ids, columns, rejected } = await embedded(input, { idField: 'key', columns: ['score'] });
    expect([ids, rejected]).toEqual([
      [7, 8],
      ['1: invalid-id', '2: invalid-id'],
    ]);
    expect(columns['score']).toEqual(['NaN', '0.5']);
  });

  it('keeps all digits of numbers and times', async () => {
    const input = await writeByDuckdb(
      `select * from (values
        ('a', 18446744073709551615::ubigint, 12345678901234567890.123456::decimal(38,6), 0.5::decimal(9,2), timestamp '2020-01-02 03:04:05.123456', timestamp_ns '1969-12-31 23:59:59.123456789', date '0044-03-15', {'n': 9007199254740993::bigint, 'd': [1.10::decimal(18,2)]}),
        ('b', 7::ubigint, -0.000001::decimal(38,6), -12.30::decimal(9,2), timestamp '1970-01-01 00:00:00', timestamp_ns '2020-01-01 00:00:00.5', date '2020-02-29', {'n': 1::bigint, 'd': []}),
        ('c', null, null, null, timestamp '294247-01-10 04:00:54.775806', null, date '5881580-07-10', null)) v(text, u, big, small, t, ns, d, s)`,
    );
    const { columns } = await embedded(input, { format: 'jsonl', columns: ['u', 'big', 'small', 't', 'ns', 'd', 's'] });
    expect(columns).toEqual({
      u: ['18446744073709551615', 7, null],
      big: ['12345678901234567890.123456', -0.000001, null],
      small: [0.5, -12.3, null],
      t: ['2020-01-02T03:04:05.123456Z', '1970-01-01T00:00:00.000Z', '9223372036854775806'],
      ns: ['1969-12-31T23:59:59.123456789Z', '2020-01-01T00:00:00.500Z', null],
      d: ['0044-03-15T00:00:00.000Z', '2020-02-29T00:00:00.000Z', '2147483646'], // In days, because JavaScript dates do not support this year.
      s: [{ n: '9007199254740993', d: [1.1] }, { n: 1, d: [] }, null],
    });
  });

  const twoColumns = [
    { name: 'text', data: Array.from({ length: 20 }, (_, row) => `text ${row}`), type: 'STRING' as const },
    { name: 'n', data: Array.from({ length: 20 }, (_, row) => row), type: 'INT32' as const },
  ];

  /** A file with 20 rows in row groups of 10, and a changed footer. */
  function lying(change: (metadata: FileMetaData) => void): Promise<string> {
    const file = parquetWriteBuffer({ columnData: twoColumns, rowGroupSize: 10 });
    const metadata = parquetMetadata(file);
    const length = new DataView(file).getUint32(file.byteLength - 8, true);
    change(metadata);
    const writer = new ByteWriter();
    writer.appendBytes(new Uint8Array(file, 0, file.byteLength - 8 - length));
    writeMetadata(writer, metadata);
    writer.appendUint32(0x31524150);
    return space.write('lying.parquet', new Uint8Array(writer.getBytes()));
  }

  it('is read if its footer is correct', async () => {
    expect((await embedded(await lying(() => {}))).ids.length).toBe(20);
  });

  it.each<[string, (metadata: FileMetaData) => void]>([
    ['fewer rows', (metadata) => (metadata.num_rows = 15n)],
    ['more rows', (metadata) => (metadata.num_rows = 25n)],
    ['rows below nothing', (metadata) => (metadata.num_rows = -20n)],
    [
      'fewer rows in a row group',
      (metadata) => void ((metadata.row_groups[1]!.num_rows = 5n), (metadata.num_rows = 15n)),
    ],
    [
      'more rows in a row group',
      (metadata) => void ((metadata.row_groups[0]!.num_rows = 15n), (metadata.num_rows = 25n)),
    ],
    [
      'fewer rows everywhere',
      (metadata) => {
        metadata.num_rows = 15n;
        metadata.row_groups[1]!.num_rows = 5n;
        for (const { meta_data: column } of metadata.row_groups[1]!.columns) column!.num_values = 5n;
      },
    ],
    ['a missing row group', (metadata) => void metadata.row_groups.pop()],
    ['the same row group twice', (metadata) => void metadata.row_groups.push(metadata.row_groups[0]!)],
    ['a missing column', (metadata) => void metadata.row_groups[0]!.columns.pop()],
    [
      'columns in another order',
      (metadata) => void metadata.row_groups[0]!.columns.push(metadata.row_groups[0]!.columns.shift()!),
    ],
    ['fewer values', (metadata) => (metadata.row_groups[0]!.columns[0]!.meta_data!.num_values = 3n)],
    ['pages elsewhere', (metadata) => (metadata.row_groups[0]!.columns[0]!.meta_data!.data_page_offset = 90_000n)],
    ['pages before the file', (metadata) => (metadata.row_groups[0]!.columns[0]!.meta_data!.data_page_offset = -4n)],
    ['longer pages', (metadata) => (metadata.row_groups[1]!.columns[1]!.meta_data!.total_compressed_size = 90_000n)],
    ['shorter pages', (metadata) => (metadata.row_groups[0]!.columns[0]!.meta_data!.total_compressed_size = 20n)],
  ])('with %s in its footer is refused', async (_what, change) => {
    const input = await lying(change);
    for (const chunkRows of [7, 100])
      await expect(embedded(input, { chunkRows })).rejects.toMatchObject({
        code: 'invalid-corpus',
        message: expect.stringMatching(/lying\.parquet is a broken Parquet file: /) as string,
        details: { file: input },
      });
    await expect(readTable({ file: input, columns: ['text'] })).rejects.toMatchObject({ code: 'invalid-corpus' });
  });

  it.each([
    ['fewer than none', -2],
    ['one too few', 1],
    ['one too many', 3],
    ['a million', 1_000_000],
  ])('whose schema has %s columns is refused immediately', async (_what, children) => {
    const file = Buffer.from(parquetWriteBuffer({ columnData: twoColumns }));
    const footer = file.subarray(file.length - 8 - file.readUInt32LE(file.length - 8), file.length - 8);
    // In the footer, the number of children follows the name of the root: field 5, a zigzag varint.
    const at = footer.indexOf('root\u0015\u0004', 'latin1') + 'root'.length + 1;
    expect(at).toBeGreaterThan(5);
    const bytes: number[] = [];
    for (let rest = children < 0 ? -2 * children - 1 : 2 * children; rest > 0 || bytes.length === 0; rest >>>= 7)
      bytes.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
    const changed = Buffer.concat([footer.subarray(0, at), Buffer.from(bytes), footer.subarray(at + 1)]);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(changed.length);
    const body = file.subarray(0, file.length - 8 - footer.length);
    const input = await space.write('tree.parquet', Buffer.concat([body, changed, length, Buffer.from('PAR1')]));
    await expect(embedded(input)).rejects.toMatchObject({
      code: 'invalid-corpus',
      message: expect.stringMatching(/tree\.parquet is a broken Parquet file: its schema /) as string,
    });
  });

  it('can be aborted while it is being read, without affecting other reads', async () => {
    const path = await lying(() => {});
    const file = { name: path, path };
    const range = { ...file, start: 0, end: 20, columns: ['text'], texts: ['text'] };
    const controller = new AbortController();
    const aborted = readParquetRows(range, controller.signal);
    const others = [readParquetRows(range), readParquetSummary(file)] as const;
    controller.abort();
    await expect(aborted).rejects.toMatchObject({ code: 'aborted' });
    const [rows, summary] = await Promise.all(others);
    expect(rows.records.map(({ text }) => text)).toEqual(Array.from({ length: 20 }, (_, row) => `text ${row}`));
    expect(summary).toMatchObject({ rows: 20, groups: [10, 10], columns: ['text', 'n'] });
  });
});
