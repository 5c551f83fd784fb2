/** Generates corpus files from a seed, with their expected rows. */
import { gzipSync } from 'node:zlib';
import type { CorpusRequest, OutputFormat, Precision } from '@sentvec/corpus';
import { Random, withDamage } from './random.ts';

/** A generated file, and the options to read it. */
export interface GeneratedCorpus {
  readonly title: string;
  readonly name: string;
  readonly bytes: Buffer;
  readonly request: Omit<CorpusRequest, 'inputs' | 'output'>;
  /** The expected content of each row, or that it is rejected; `undefined` for a damaged file. */
  readonly rows: readonly (GeneratedRow | 'rejected')[] | undefined;
  /** Number of rows, counted with another method than that of the readers; `undefined` if it is not well-defined. */
  readonly count: number | undefined;
  /** Whether the file must be refused as a whole. */
  readonly isRefused: boolean;
}

/** A row that has a vector. */
export interface GeneratedRow {
  readonly text: string;
  readonly id: string;
  /** The stored column, as JSON. */
  readonly kept: unknown;
}

const texts = [
  'hello world', 'a', ' ', 'line\nbreak', 'crlf\r\nx', 'cr\rhere', 'quote " inside', '"quoted"', 'comma, here', 'tab\there',
  'nul\0here', '\u0301\u0302', '\uFEFFmark', '日本語', '😀', '\u2028line', '\u0085', 'x'.repeat(3000), '""', ',,', '\\', '\\"',
  '{"a":1}', '# c', '=1+1', '\u001A', '\v', ' lead', 'trail ', "'", 'null', '1', '\u00A0', '9007199254740993',
]; // prettier-ignore

const numbers = [
  '0',
  '-1',
  '1.5',
  '9007199254740993',
  '-18446744073709551615',
  '1e400',
  '0.10',
  '123456789012345.678901',
];

/** Returns the expected stored form of a number from {@link numbers}. */
const keptNumbers: Readonly<Record<string, unknown>> = {
  '0': 0, '-1': -1, '1.5': 1.5, '0.10': 0.1,
}; // prettier-ignore

type Format = 'jsonl' | 'csv' | 'tsv' | 'text' | 'paragraph';

/** Generates the file for a seed. */
export function corpusOf(seed: number): GeneratedCorpus {
  const random = new Random(seed);
  const format = random.pick<Format>(['jsonl', 'jsonl', 'csv', 'csv', 'tsv', 'text', 'paragraph']);
  const hasIds = format !== 'text' && format !== 'paragraph' && random.chance(0.5);
  const lineEnd = random.pick(format === 'csv' || format === 'tsv' ? ['\n', '\r\n', '\r'] : ['\n', '\n', '\r\n']);
  const { lines, rows } = linesOf(random, format, hasIds);
  const last = random.chance(0.5) || format === 'text' ? lineEnd : '';
  const whole = Buffer.concat([
    Buffer.from(random.chance(0.1) ? '\uFEFF' : ''),
    ...lines.flatMap((line, index) => [line, Buffer.from(index < lines.length - 1 ? lineEnd : last)]),
  ]);
  const isDamaged = random.chance(0.4);
  const plain = isDamaged ? withDamage(whole, random, [0, 9, 10, 34, 44, 92, 123, 125, 0xff, 0xc3]) : whole;
  const packed = random.chance(0.12) ? random.pick(['whole', 'in parts', 'cut'] as const) : 'plain';
  const precision: Precision = random.chance(0.1) ? 'int8' : 'float32';
  const output = random.pick<OutputFormat>(['parquet', 'jsonl', 'npy', 'arrow']);
  const isText = format === 'text' || format === 'paragraph';
  return {
    title: `seed ${seed}: ${format}, ${packed}${isDamaged ? ', damaged' : ''}, ${JSON.stringify(plain.toString('latin1').slice(0, 200))}`,
    name: `corpus.${isText ? 'txt' : format}${packed === 'plain' ? '' : '.gz'}`,
    bytes: pack(plain, packed, random),
    request: {
      format: output,
      precision,
      chunkRows: random.pick([1, 2, 3, 7, 1000]),
      columns: isText ? ['text'] : ['text', 'kept'],
      ...(hasIds && { idField: 'id' }),
      ...(format === 'paragraph' && { split: 'paragraph' as const }),
    },
    rows: isDamaged ? undefined : rows,
    count: isDamaged ? countRows(plain, format) : rows.length,
    isRefused: packed === 'cut',
  };
}

function linesOf(
  random: Random,
  format: Format,
  hasIds: boolean,
): { lines: Buffer[]; rows: (GeneratedRow | 'rejected')[] } {
  const lines: Buffer[] = [];
  const rows: (GeneratedRow | 'rejected')[] = [];
  const count = random.pick([1, 2, 3, 5, 8, 20]);
  const isTable = format === 'csv' || format === 'tsv';
  const delimiter = format === 'tsv' ? '\t' : ',';
  if (isTable) lines.push(Buffer.from([...(hasIds ? ['id'] : []), 'text', 'kept'].join(delimiter)));
  for (let index = 0; index < count; index += 1) {
    const text = `${random.pick(texts)}${random.chance(0.5) ? '' : ` ${index}`}`;
    const id = hasIds ? `k${index}${random.pick(['', 'é', ',', '"', '\uFEFF'])}` : String(index);
    if (isTable) {
      const kept = random.pick(texts);
      const cells = [...(hasIds ? [id] : []), text, kept];
      const isBroken = index > 0 && random.chance(0.1);
      lines.push(
        Buffer.from([...cells, ...(isBroken ? ['more'] : [])].map((cell) => quoted(cell, delimiter)).join(delimiter)),
      );
      rows.push(isBroken ? 'rejected' : { text, id, kept });
      // Lines that are blank or contain only carriage returns are not rows.
      if (random.chance(0.05) && index < count - 1) lines.push(Buffer.alloc(0));
    } else if (format === 'jsonl') {
      const number = random.pick(numbers);
      const members = [
        `"text":${JSON.stringify(text)}`,
        `"kept":${number}`,
        ...(hasIds ? [`"id":${JSON.stringify(id)}`] : []),
      ];
      const good = `{${random.chance(0.5) ? members.join(',') : members.toReversed().join(' , ')}}`;
      const broken = ['[1]', '{"text":7}', '{"txt":"x"}', good.slice(0, -1), `${good},`, '"text"', '{"text":null}'];
      const isBroken = index > 0 && random.chance(0.15);
      const invalid = isBroken && random.chance(0.3) ? Buffer.concat([Buffer.from(good), Buffer.of(0xff)]) : undefined;
      lines.push(invalid ?? Buffer.from(isBroken ? random.pick(broken) : good));
      rows.push(isBroken ? 'rejected' : { text, id, kept: number in keptNumbers ? keptNumbers[number] : number });
      if (random.chance(0.1)) lines.push(Buffer.from(random.pick(['', ' ', '\t'])));
    } else {
      const line = text.replaceAll(/[\r\n]+/g, ' ').replace(/^\uFEFF/, '');
      lines.push(Buffer.from(line));
      const row = { text: line, id, kept: undefined };
      if (format === 'text') rows.push(row);
      else if (line.trim() !== '' || /[^ \t\v\f]/.test(line))
        rows.push({ ...row, text: line.trim(), id: String(rows.length) });
      if (format === 'paragraph' && index < count - 1) lines.push(Buffer.alloc(0));
    }
  }
  return { lines, rows };
}

function quoted(cell: string, delimiter: string): string {
  return /["\n\r]/.test(cell) || cell.includes(delimiter) ? `"${cell.replaceAll('"', '""')}"` : cell;
}

function pack(plain: Buffer, how: 'plain' | 'whole' | 'in parts' | 'cut', random: Random): Buffer {
  if (how === 'plain') return plain;
  const half = plain.length >> 1;
  if (how === 'in parts') return Buffer.concat([gzipSync(plain.subarray(0, half)), gzipSync(plain.subarray(half))]);
  const whole = gzipSync(plain);
  return how === 'cut' ? whole.subarray(0, random.below(whole.length)) : whole;
}

/** Counts rows by splitting the whole file. */
function countRows(bytes: Buffer, format: Format): number | undefined {
  const text = bytes.toString('latin1').replace(/^\u00EF\u00BB\u00BF/, '');
  const hasLineFeeds = format !== 'jsonl' || text.includes('\n') || !/\}[ \t]*\r[ \t]*\{/.test(text);
  const lines = text.split(hasLineFeeds ? '\n' : '\r');
  if (lines.at(-1) === '') lines.pop();
  const isBlank = (line: string): boolean => /^[\t-\r ]*$/.test(line);
  if (format === 'text') return lines.length;
  if (format === 'jsonl') return lines.filter((line) => !isBlank(line)).length;
  if (format === 'paragraph')
    return lines.filter((line, at) => !isBlank(line) && (at === 0 || isBlank(lines[at - 1]!))).length;
  return undefined; // The number of rows of a damaged CSV file is not well-defined.
}
