import { gzipSync } from 'node:zlib';
import { Readable } from 'node:stream';
import { link, readFile, symlink } from 'node:fs/promises';
import { DuckDBInstance } from '@duckdb/node-api';
import { embedCorpus, type CorpusProgressEvent, type CorpusRequest, type Manifest } from '@sentvec/corpus';
import { describe, expect, it } from 'vitest';
import { fakeEmbedder, fakeVector } from './fake-embedder.ts';
import { contents, plainNames, readRejected, readRows, workspace } from './workspace.ts';

const space = workspace();

/** Embeds into JSON Lines shards that include the texts. */
async function embed(
  inputs: readonly string[],
  request: Partial<CorpusRequest> = {},
  standardInput?: Readable,
): Promise<Manifest> {
  const columns = [request.textField ?? 'text'];
  return embedCorpus({ inputs, output: space.path('out'), format: 'jsonl', columns, ...request }, fakeEmbedder(), {
    standardInput,
  });
}

async function texts(): Promise<unknown[]> {
  return (await readRows(space.path('out'))).map(({ text }) => text);
}

async function rejectedRows(): Promise<string[]> {
  return (await readRejected(space.path('out'))).map(({ row, line, code }) => `row ${row}, line ${line}: ${code}`);
}

describe('JSON lines', () => {
  it('embeds each line, with row numbers as ids and exactly two fields', async () => {
    const input = await space.write('a.jsonl', '{"text":"one"}\n{"text":"two","other":1}\n');
    const manifest = await embed([input], { columns: undefined });
    const [shard] = Object.entries(await contents(space.path('out'))).find(([name]) => name.startsWith('shard-'))!;
    const lines = (await readFile(space.path(`out/${shard}`), 'utf8'))
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as object);
    expect(lines).toEqual([
      { id: 0, embedding: fakeVector('one').map((value) => expect.closeTo(value, 6) as number) },
      { id: 1, embedding: fakeVector('two').map((value) => expect.closeTo(value, 6) as number) },
    ]);
    expect(manifest).toMatchObject({ complete: true, rows: 2, rejected: 0, dimension: 8, idType: 'int64' });
  });

  it('skips a byte order mark and blank lines, and accepts CRLF and a missing final newline', async () => {
    const input = await space.write('a.jsonl', '\uFEFF{"text":"one"}\r\n\r\n   \n{"text":"two"}\r\n{"text":"three"}');
    await embed([input]);
    expect(await texts()).toEqual(['one', 'two', 'three']);
    expect((await readRows(space.path('out'))).map(({ id }) => id)).toEqual([0, 1, 2]);
  });

  it('lists rows without a text, with file, row, line and reason', async () => {
    const lines: (string | Buffer)[] = [
      '{"text":"good"}',
      '{"text":"broken',
      '{"title":"none","body":"x"}',
      '{"text":5}',
      '{"text":null}',
      '["text"]',
      '"text"',
      '',
      Buffer.from([0x7b, 0x22, 0x74, 0x65, 0x78, 0x74, 0x22, 0x3a, 0x22, 0xff, 0xfe, 0x22, 0x7d]),
      '{"text":"NUL \\u0000 is kept"}',
      '{"text":"raw NUL \u0000"}',
      '{"text":"lone \\ud800 surrogate"}',
      '{"text":""}',
    ];
    const input = await space.write(
      'bad.jsonl',
      Buffer.concat(lines.flatMap((line) => [Buffer.from(line), Buffer.from('\n')])),
    );
    const manifest = await embed([input]);
    expect(await texts()).toEqual(['good', 'NUL \u0000 is kept', 'lone \ud800 surrogate', '']);
    expect(await rejectedRows()).toEqual([
      'row 1, line 2: invalid-json',
      'row 2, line 3: missing-field',
      'row 3, line 4: not-text',
      'row 4, line 5: not-text',
      'row 5, line 6: invalid-json',
      'row 6, line 7: invalid-json',
      'row 7, line 9: invalid-utf8',
      'row 9, line 11: invalid-json',
    ]);
    const [, missing] = await readRejected(space.path('out'));
    expect(missing).toMatchObject({ file: input, reason: 'There is no field "text"; the row has title, body.' });
    expect(manifest).toMatchObject({ rows: 4, rejected: 8, complete: true });
  });

  it('fails at the first row without a text if strict, and leaves no complete output', async () => {
    const input = await space.write('bad.jsonl', '{"text":"good"}\n{"text":7}\n');
    await expect(embed([input], { strict: true })).rejects.toMatchObject({
      code: 'invalid-corpus',
      message: expect.stringMatching(
        /bad\.jsonl, row 1 \(line 2\) has no vector\. The field "text" is a number, not a text\. .*`strict`/,
      ) as string,
      details: { file: input, row: 1, line: 2 },
    });
    expect(JSON.parse(await readFile(space.path('out/manifest.json'), 'utf8'))).toMatchObject({
      complete: false,
      shards: [],
    });
  });

  it('lists the existing fields if the text field does not exist, before embedding', async () => {
    const input = await space.write('a.jsonl', '{"title":"t","body":"b"}\n{"title":"t"}\n');
    await expect(embed([input])).rejects.toMatchObject({
      code: 'invalid-corpus',
      message: expect.stringMatching(
        /a\.jsonl.*Row 0: There is no field "text"; the row has title, body\. Set `textField` to the field with the text/,
      ) as string,
    });
    expect(await contents(space.path('.'))).toEqual({ 'a.jsonl': expect.anything() as string });
  });

  it('reads ids from a field: integers stay numbers, other values become strings', async () => {
    const numbers = await space.write(
      'n.jsonl',
      '{"text":"a","key":7}\n{"text":"b","key":9007199254740991}\n{"text":"c","key":12345678901234567890}\n',
    );
    await embed([numbers], { idField: 'key' });
    const kept = ['7', '9007199254740991', '12345678901234567890'];
    expect((await readRows(space.path('out'))).map(({ id }) => id)).toEqual(kept);
    expect(await rejectedRows()).toEqual([]);
    const strings = await space.write(
      's.jsonl',
      '{"text":"a","key":"x"}\n{"text":"b","key":7}\n{"text":"c","key":null}\n{"text":"d"}\n',
    );
    await embed([strings], { idField: 'key', overwrite: true });
    expect((await readRows(space.path('out'))).map(({ id }) => id)).toEqual(['x', '7']);
    expect(await rejectedRows()).toEqual(['row 2, line 3: invalid-id', 'row 3, line 4: missing-field']);
    const small = await space.write('i.jsonl', '{"text":"a","key":7}\n{"text":"b","key":8}\n');
    expect(await embed([small], { idField: 'key', overwrite: true })).toMatchObject({ idType: 'int64' });
    expect((await readRows(space.path('out'))).map(({ id }) => id)).toEqual([7, 8]);
  });

  it('embeds a line of 10 MB, and rejects one of more than 64 MiB without reading it into memory', async () => {
    const long = 'x'.repeat(10_000_000);
    const input = await space.write(
      'long.jsonl',
      `{"text":"before"}\n{"text":"${long}"}\n{"text":"${'y'.repeat(64 * 1024 * 1024)}"}\n{"text":"after"}\n`,
    );
    await embed([input]);
    const kept = await texts();
    expect(kept.map((text) => (text as string).length)).toEqual([6, 10_000_000, 5]);
    expect(await rejectedRows()).toEqual(['row 2, line 3: too-long']);
  });
});

describe('plain text', () => {
  it('embeds each line, including blank ones; the final newline does not start a row', async () => {
    const input = await space.write('a.txt', 'one\r\n\n  two \nNUL \u0000 stays\n');
    await embed([input]);
    expect(await texts()).toEqual(['one', '', '  two ', 'NUL \u0000 stays']);
  });

  it('embeds paragraphs, whose lines are joined with spaces', async () => {
    const input = await space.write('a.txt', '\n\nCall me\n  Ishmael.\n\n \t\nSome years ago\r\nnever mind\n\nlast');
    await embed([input], { split: 'paragraph' });
    expect(await texts()).toEqual(['Call me Ishmael.', 'Some years ago never mind', 'last']);
  });

  it('rejects lines that are not UTF-8', async () => {
    const input = await space.write('latin1.txt', Buffer.from('good\ncaf\u00e9\n', 'latin1'));
    await embed([input]);
    expect(await texts()).toEqual(['good']);
    expect(await rejectedRows()).toEqual(['row 1, line 2: invalid-utf8']);
  });

  it('refuses id and metadata fields', async () => {
    const input = await space.write('a.txt', 'one\n');
    await expect(embed([input], { idField: 'id' })).rejects.toMatchObject({
      code: 'invalid-argument',
      message: expect.stringContaining('no field "id"') as string,
    });
  });
});

describe('CSV and TSV', () => {
  it('reads quoted delimiters, quotes and newlines, and numbers rows and lines', async () => {
    const csv =
      '\uFEFFid,text\r\na,"one, ""quoted"""\r\n\r\nb,"two\nlines"\r\nc,three "inches"\r\nd,too,many\r\ne,"five"\r\n';
    const input = await space.write('a.csv', csv);
    await embed([input], { idField: 'id' });
    expect((await readRows(space.path('out'))).map(({ id, text }) => [id, text])).toEqual([
      ['a', 'one, "quoted"'],
      ['b', 'two\nlines'],
      ['c', 'three "inches"'],
      ['e', 'five'],
    ]);
    expect(await rejectedRows()).toEqual(['row 3, line 7: invalid-csv']);
  });

  it('reads tabs', async () => {
    const input = await space.write('a.tsv', 'text\tother\none\t1\n"two\tthree"\t2\n');
    await embed([input], { columns: ['text', 'other'] });
    expect((await readRows(space.path('out'))).map(({ text, other }) => [text, other])).toEqual([
      ['one', '1'],
      ['two\tthree', '2'],
    ]);
  });

  it('has the same rows for any chunk size, whatever quoted fields contain', async () => {
    const rows = Array.from(
      { length: 500 },
      (_, row) => `${row},"line ${row}\nwith ""quotes"", commas\n\nand ${'x'.repeat(row % 97)}",plain`,
    );
    const input = await space.write('a.csv', `key,text,more\n${rows.join('\n')}\n`);
    await embed([input], { chunkRows: 500 });
    const whole = await texts();
    for (const chunkRows of [7, 64, 499]) {
      await embed([input], { chunkRows, overwrite: true });
      expect(await texts()).toEqual(whole);
    }
    expect(whole.length).toBe(500);
    expect(whole[3]).toBe('line 3\nwith "quotes", commas\n\nand xxx');
  });

  it('lists the columns if one is missing, and reports an unclosed quote', async () => {
    const input = await space.write('a.csv', 'key,body\n1,x\n');
    await expect(embed([input])).rejects.toMatchObject({
      code: 'invalid-corpus',
      message: expect.stringMatching(/no column "text"; it has key, body\. .*`textField`/) as string,
    });
    const open = await space.write('b.csv', 'text\ngood\n"never closed\nand so on\n');
    await expect(embed([open])).rejects.toMatchObject({
      code: 'invalid-corpus',
      message: expect.stringContaining('on line 3 is never closed') as string,
    });
    const empty = await space.write('c.csv', '');
    await expect(embed([empty])).rejects.toMatchObject({
      code: 'invalid-corpus',
      message: expect.stringContaining('has no header') as string,
    });
  });
});

describe('Parquet', () => {
  async function writeParquet(name: string, select: string, options = ''): Promise<string> {
    const path = space.path(name);
    const connection = await (await DuckDBInstance.create()).connect();
    await connection.run(`copy (${select}) to '${path}' (format parquet ${options})`);
    connection.closeSync();
    return path;
  }

  it('reads rows in ranges across row groups, with typed columns as JSON values', async () => {
    const select = `select i as key, 'text ' || i as text, i / 2.0 as score, date '2020-01-01' + i::int as day, [i, i + 1] as list,
      case when i = 5 then null else i end as gap, 9007199254740993 + i as large from range(9000) t(i)`;
    for (const codec of ['snappy', 'zstd', 'gzip']) {
      const input = await writeParquet(`${codec}.parquet`, select, `, row_group_size 2048, codec '${codec}'`);
      await embed([input], {
        idField: 'key',
        columns: ['text', 'score', 'day', 'list', 'gap', 'large'],
        chunkRows: 1000,
        overwrite: true,
      });
      const rows = await readRows(space.path('out'));
      expect(rows.length).toBe(9000);
      expect(rows[5]).toMatchObject({
        id: 5,
        text: 'text 5',
        score: 2.5,
        day: '2020-01-06T00:00:00.000Z',
        list: [5, 6],
        gap: null,
        large: '9007199254740998',
      });
      expect(rows.map(({ id, text }) => `${id} ${text as string}`)).toEqual(
        Array.from({ length: 9000 }, (_, row) => `${row} text ${row}`),
      );
    }
  });

  it('rejects rows without a text, and refuses damaged files', async () => {
    const input = await writeParquet(
      'a.parquet',
      "select case when i = 2 then null else 'x' || i end as text from range(4) t(i)",
    );
    await embed([input]);
    expect(await texts()).toEqual(['x0', 'x1', 'x3']);
    expect(await readRejected(space.path('out'))).toEqual([
      { file: input, row: 2, code: 'not-text', reason: 'The field "text" is null, not a text.' },
    ]);
    const whole = await readFile(input);
    for (const broken of [
      whole.subarray(0, whole.length - 20),
      whole.subarray(0, 8),
      Buffer.concat([whole.subarray(0, 4), whole.subarray(40)]),
    ]) {
      const path = await space.write('broken.parquet', broken);
      await expect(embed([path], { output: space.path('other') })).rejects.toMatchObject({
        code: 'invalid-corpus',
        details: { file: path },
      });
    }
    await expect(
      embed([await space.write('no.parquet', 'text\n')], { output: space.path('other') }),
    ).rejects.toMatchObject({
      code: 'invalid-corpus',
    });
    await expect(
      embed([await writeParquet('b.parquet', 'select 1 as n')], { output: space.path('other') }),
    ).rejects.toMatchObject({
      message: expect.stringContaining('no column "text"; it has n.') as string,
    });
  });
});

describe('several inputs', () => {
  it('reads files, globs and gzip in order, each file once, with consecutive row numbers', async () => {
    await space.write('data/b.jsonl', '{"text":"b0"}\nbroken\n{"text":"b2"}\n');
    await space.write('data/a.jsonl', '{"text":"a0"}\n');
    const packed = await space.write(
      'packed.jsonl.gz',
      Buffer.concat([gzipSync('{"text":"z0"}\n'), gzipSync('{"text":"z1"}\nbad\n')]),
    );
    const manifest = await embed([packed, space.path('data/*.jsonl'), space.path('data/a.jsonl')]);
    expect((await readRows(space.path('out'))).map(({ id, text }) => [id, text])).toEqual([
      [0, 'z0'],
      [1, 'z1'],
      [3, 'a0'],
      [4, 'b0'],
      [6, 'b2'],
    ]);
    expect(await readRejected(space.path('out'))).toMatchObject([
      { file: packed, row: 2, line: 3 },
      { file: space.path('data/b.jsonl'), row: 1, line: 2 },
    ]);
    expect(manifest.inputs.map(({ file }) => file)).toEqual([
      packed,
      space.path('data/a.jsonl'),
      space.path('data/b.jsonl'),
    ]);
    expect(Object.keys(await contents(space.path('out'))).map(plainNames)).toEqual([
      'manifest.json',
      'rejected.jsonl',
      'shard-00000.jsonl',
      'shard-00001.jsonl',
      'shard-00002.jsonl',
    ]);
  });

  it('reads a file once even if links or other paths point to it; a hard link counts as a separate file', async () => {
    const input = await space.write('data/b.jsonl', '{"text":"b"}\n');
    await link(input, space.path('data/hard.jsonl'));
    await symlink('b.jsonl', space.path('data/a.jsonl'));
    await symlink('data', space.path('other'));
    const manifest = await embed([
      space.path('data/*.jsonl'),
      space.path('other/b.jsonl'),
      `${space.path('data')}/./b.jsonl`,
    ]);
    expect(manifest.inputs.map(({ file }) => file)).toEqual([
      space.path('data/a.jsonl'),
      space.path('data/hard.jsonl'),
    ]);
    expect(await texts()).toEqual(['b', 'b']);
  });

  it('reads standard input, with or without gzip, and detects the format', async () => {
    const lines = '{"text":"one"}\n{"text":"two"}\n';
    for (const [content, expected] of [
      [lines, ['one', 'two']],
      [gzipSync(lines), ['one', 'two']],
      ['plain\ntext', ['plain', 'text']],
      ['', []],
    ] as const) {
      const manifest = await embed(['-'], { overwrite: true }, Readable.from([Buffer.from(content)]));
      expect(await texts()).toEqual(expected);
      expect(manifest.inputs).toMatchObject([
        { file: '-', bytes: typeof content === 'string' ? content.length : lines.length },
      ]);
    }
  });

  it('reports the progress of decompressing its inputs', async () => {
    const line = '{"text":"one"}\n';
    const input = await space.write('packed.jsonl.gz', gzipSync(line.repeat(20_000)));
    const events: CorpusProgressEvent[] = [];
    const request = { inputs: [input], output: space.path('out'), columns: [] };
    await embedCorpus(request, fakeEmbedder(), { onProgress: (event) => void events.push(event) });
    const unpacked = events.filter(({ phase }) => phase === 'unpack').map(({ bytes }) => bytes);
    expect(unpacked.length).toBeGreaterThan(1);
    expect(unpacked).toEqual(unpacked.toSorted((a, b) => a - b));
    expect(unpacked.at(-1)).toBe(20_000 * line.length);
    expect(events.at(-1)).toMatchObject({ phase: 'embed', rows: 20_000, bytes: 20_000 * line.length });
  });

  it('reads all members of a gzip file, even with zeros after each', async () => {
    const [one, two] = [gzipSync('{"text":"one"}\n'), gzipSync('{"text":"two"}\n')];
    const damaged = Buffer.concat([Buffer.of(0), two.subarray(1)]);
    // An extra header field makes this member end exactly at the end of a read block.
    const field = 65_536 - one.length - 2;
    const header = Buffer.from([...one.subarray(0, 3), 4, ...one.subarray(4, 10), field & 255, field >> 8]);
    const block = Buffer.concat([header, Buffer.alloc(field), one.subarray(10)]);
    for (const first of [one, block]) {
      for (const zeros of [0, 1, 512, 200_000]) {
        const input = await space.write(
          'padded.jsonl.gz',
          Buffer.concat([first, Buffer.alloc(zeros), two, Buffer.alloc(zeros)]),
        );
        await embed([input], { overwrite: true });
        expect(await texts()).toEqual(['one', 'two']);
      }
      const input = await space.write('damaged.jsonl.gz', Buffer.concat([first, damaged]));
      await expect(embed([input], { overwrite: true })).rejects.toThrow(
        /broken gzip file \(the data after its padding is not/u,
      );
    }
  });

  it('refuses inputs that are inside the output folder, and does not change it', async () => {
    await space.write('rows.jsonl', '{"text":"one"}\n');
    await embed([space.path('*.jsonl')]);
    const before = await contents(space.path('out'));
    for (const request of [{ overwrite: true }, { resume: true }])
      await expect(embed([space.path('**/*.jsonl')], request)).rejects.toMatchObject({
        code: 'invalid-argument',
        message: expect.stringMatching(/The input .*out\/.*\.jsonl is in the output folder/u) as string,
      });
    const shard = `out/${Object.keys(before).find((name) => name.includes('shard-'))!}`;
    await symlink(shard, space.path('linked.jsonl'));
    await symlink('out', space.path('also-out'));
    for (const [input, output] of [
      ['linked.jsonl', 'out'],
      [shard, 'also-out'],
    ] as const)
      await expect(embed([space.path(input)], { overwrite: true, output: space.path(output) })).rejects.toThrow(
        /is in the output folder/u,
      );
    expect(await contents(space.path('out'))).toEqual(before);
  });

  it('refuses unreadable inputs with the reason', async () => {
    const cases: [string, string | Uint8Array, RegExp][] = [
      ['cut.jsonl.gz', gzipSync('{"text":"one"}\n'.repeat(1000)).subarray(0, 60), /broken gzip/],
      ['a.jsonl.zst', Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, 0]), /zstd\. Decompress it first/],
      ['a.jsonl.bz2', Buffer.from('BZh91AY'), /bzip2\. Decompress it first/],
      ['a.jsonl.xz', Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]), /xz\. Decompress it first/],
      ['a.zip', 'PK\u0003\u0004', /zip archive/],
      ['utf16be.txt', Buffer.from([0xfe, 0xff, 0, 0x74]), /UTF-16\. Convert it to UTF-8/],
      ['utf16.txt', Buffer.from('\uFEFFtext', 'utf16le'), /UTF-16\. Convert it to UTF-8/],
      ['array.json', ' [{"text":"one"}]', /one JSON array.*jq/],
    ];
    for (const [name, content, message] of cases) {
      const input = await space.write(name, content);
      await expect(embed([input])).rejects.toMatchObject({
        code: 'invalid-corpus',
        message: expect.stringMatching(message) as string,
        details: { file: input },
      });
    }
    await expect(embed([space.path('none.jsonl')])).rejects.toMatchObject({
      code: 'invalid-corpus',
      message: expect.stringContaining('There is no file') as string,
    });
    await expect(embed([space.path('*.none')])).rejects.toMatchObject({
      code: 'invalid-corpus',
      message: expect.stringContaining('No file matches') as string,
    });
    await expect(embed([space.path('.')])).rejects.toMatchObject({
      code: 'invalid-corpus',
      message: expect.stringContaining('is a folder') as string,
    });
    await expect(embed([])).rejects.toMatchObject({ code: 'invalid-argument' });
  });

  it('writes an empty output for an empty corpus', async () => {
    const input = await space.write('empty.jsonl', '');
    expect(await embed([input])).toMatchObject({ complete: true, rows: 0, shards: [] });
  });
});
