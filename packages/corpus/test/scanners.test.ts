import { describe, expect, it } from 'vitest';
import {
  createRowScanner,
  recogniseLineEnd,
  type OnRow,
  type RowScanner,
  type ScanStart,
} from '../src/rows/row-scanner.ts';

type MakeScanner = (start: ScanStart, onRow: OnRow) => RowScanner;

const scanners: Record<string, MakeScanner> = {
  lines: (start, onRow) => createRowScanner('text', 'line', 'lf', start, onRow),
  'lines that are not blank': (start, onRow) => createRowScanner('jsonl', 'line', 'lf', start, onRow),
  paragraphs: (start, onRow) => createRowScanner('text', 'paragraph', 'lf', start, onRow),
  CSV: (start, onRow) => createRowScanner('csv', 'line', 'lf', start, onRow),
  'lines with carriage returns alone': (start, onRow) => createRowScanner('text', 'line', 'cr', start, onRow),
  'CSV with carriage returns alone': (start, onRow) => createRowScanner('csv', 'line', 'cr', start, onRow),
};

/** Returns the rows as text, with the line number of each. */
function scan(
  make: MakeScanner,
  blocks: readonly Buffer[],
  position = 0,
): { rows: [string, number][]; unclosed: number | undefined } {
  const whole = Buffer.concat(blocks);
  const rows: [string, number][] = [];
  const scanner = make({ position, line: 1 }, (start, next, line) =>
    rows.push([whole.toString('latin1', start - position, next - position), line]),
  );
  for (const block of blocks) scanner.push(block);
  return { rows, unclosed: scanner.end() };
}

/** Returns file fragments that are difficult for scanners, in an order determined by a seed. */
function randomFile(seed: number): Buffer {
  const pieces = [
    '\n',
    '\r\n',
    '\n\n',
    '\r',
    '\r\r',
    ' ',
    '\t',
    ',',
    '"',
    '""',
    'word',
    'é',
    '{"text":"x"}',
    '"a ""b"" \n c"',
    ' \r\n',
    '"x"\r\n',
  ];
  let state = seed;
  let text = '';
  for (let count = 0; count < 60; count += 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    text += pieces[Math.floor((state / 2 ** 32) * pieces.length)]!;
  }
  return Buffer.from(text);
}

describe.each(Object.entries(scanners))('the scanner of %s', (_name, make) => {
  it('finds the same rows for any block size and from any starting row', () => {
    for (let seed = 1; seed <= 300; seed += 1) {
      const file = randomFile(seed);
      const expected = scan(make, [file]);
      for (const size of [1, 2, 3, 7, 64]) {
        const blocks = Array.from({ length: Math.ceil(file.length / size) }, (_, index) =>
          file.subarray(index * size, (index + 1) * size),
        );
        expect(scan(make, blocks)).toEqual(expected);
      }
      expect(scan(make, [file], 1000)).toEqual(expected);
    }
  });

  it('finds the remaining rows when it starts at any row', () => {
    for (let seed = 1; seed <= 300; seed += 1) {
      const file = randomFile(seed);
      const starts: number[] = [];
      const scanner = make({ position: 0, line: 1 }, (start) => starts.push(start));
      scanner.push(file);
      scanner.end();
      const rows = scan(make, [file]).rows.map(([row]) => row);
      for (const [index, start] of starts.entries()) {
        expect(scan(make, [file.subarray(start)]).rows.map(([row]) => row)).toEqual(rows.slice(index));
      }
    }
  });
});

describe('line numbers of rows', () => {
  it('match the file', () => {
    const file = Buffer.from('\na\n\n"b\nc",d\ne\n\n  \nf "g"\n');
    expect(scan(scanners['lines']!, [file]).rows.map(([, line]) => line)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(scan(scanners['lines that are not blank']!, [file]).rows.map(([, line]) => line)).toEqual([2, 4, 5, 6, 9]);
    expect(scan(scanners['paragraphs']!, [file]).rows.map(([, line]) => line)).toEqual([2, 4, 9]);
    expect(scan(scanners['CSV']!, [file]).rows).toEqual([
      ['a\n', 2],
      ['"b\nc",d\n', 4],
      ['e\n', 6],
      ['  \n', 8],
      ['f "g"\n', 9],
    ]);
  });

  it('name the line of an unclosed quote', () => {
    expect(scan(scanners['CSV']!, [Buffer.from('a,b\n1,"x"\n2,"y\nz\n')])).toEqual({
      rows: [
        ['a,b\n', 1],
        ['1,"x"\n', 2],
        ['2,"y\nz\n', 3],
      ],
      unclosed: 3,
    });
  });
});

describe('line ends', () => {
  it.each([
    ['csv', 'id,text\r1,a\r2,b\r', 'cr'],
    ['csv', 'id,text\r1,a\r2,b\r\n', 'cr'],
    ['csv', 'id,text\r1,a\n2,b\n', 'cr'],
    ['csv', 'id,"te\rxt"\r1,a\r', 'cr'],
    ['csv', 'id,"te\rxt"\n1,a\n', 'lf'],
    ['csv', 'id,te\rxt,z\n1,a,b\n', 'lf'],
    ['csv', 'id,text\r\n1,a\rb\r\n', 'lf'],
    ['tsv', 'id\ttext\r1\ta\r', 'cr'],
    ['jsonl', '{"text":"a"}\r{"text":"b"}\r', 'cr'],
    ['jsonl', '{"text":"a"}\r\n{"text":"b"}\r\n', 'lf'],
    ['jsonl', '{"text":\r"a"}', 'lf'],
    ['text', 'one\rtwo\rthree\r', 'cr'],
    ['text', 'one\rof two', 'lf'],
    ['text', 'one\rof\rmany\r\n', 'lf'],
  ] as const)('of %s that begins with %j', (format, head, expected) => {
    expect(recogniseLineEnd(format, Buffer.from(head))).toBe(expected);
  });

  it('are recognized even if a block ends between carriage return and line feed', () => {
    const file = Buffer.from('a\r\nb\rc\r\rd');
    expect(scan(scanners['lines with carriage returns alone']!, [file]).rows).toEqual([
      ['a\r\n', 1],
      ['b\r', 2],
      ['c\r', 3],
      ['\r', 4],
      ['d', 5],
    ]);
  });
});
