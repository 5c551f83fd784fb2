/** Property-based tests of the readers with fast-check. */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SentvecError } from '@sentvec/core';
import { embedCorpus, openEmbeddings, readTable } from '@sentvec/corpus';
import * as fc from 'fast-check';
import papaparse from 'papaparse';
import { describe, expect, it } from 'vitest';
import { fakeEmbedder } from './fake-embedder.ts';
import { findFile } from '../src/inputs/find-inputs.ts';
import { inspectInput } from '../src/inputs/inspect-input.ts';
import { resolveOptions } from '../src/request.ts';
import { readChunk } from '../src/rows/read-chunk.ts';
import { splitInput, toChunk } from '../src/rows/split-input.ts';
import { workspace } from './workspace.ts';

const space = workspace();

/**
 * Texts with characters that are difficult for CSV and JSON readers: quotes, delimiters, line ends, and characters of
 * one to four bytes.
 */
const text = fc.string({
  unit: fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom('"', ',', '\t', '\n', '\r\n', ' ', 'é', '€', '👩‍🚀', '\u2028', '\\') },
    { weight: 2, arbitrary: fc.string({ minLength: 1, maxLength: 1 }) },
  ),
  maxLength: 20,
});

const lineEnd = fc.constantFrom('\n', '\r\n');
const runs = { numRuns: 200 };

/** Reads a file in chunks of a number of rows. Returns the texts, and the number of rows without a text. */
async function readInChunks(file: string, chunkRows: number): Promise<{ texts: string[]; rejected: number }> {
  const input = await inspectInput(file, file, await findFile(file), 'auto');
  const { split, ...options } = resolveOptions({ inputs: [file], output: 'out', columns: [] }, 512);
  const fields = { ...options, idType: 'int64' } as const;
  const texts: string[] = [];
  let rejected = 0;
  for await (const piece of splitInput(input, { split, ...options }, { rows: chunkRows, bytes: 64 })) {
    const chunk = await readChunk(toChunk(piece, input, { index: 0, firstRow: 0 }), split, fields);
    expect(chunk.rows.length + chunk.rejectedRows.length).toBe(piece.rows);
    texts.push(...chunk.rows.map((row) => row.text));
    rejected += chunk.rejectedRows.length;
  }
  return { texts, rejected };
}

it('a chunk whose bytes, columns or number of rows differ from the plan is refused', async () => {
  const file = await space.write('planned.csv', 'text,id\none,1\ntwo,2\n');
  const input = await inspectInput(file, file, await findFile(file), 'auto');
  const { split, ...options } = resolveOptions({ inputs: [file], output: 'out', columns: [] }, 512);
  const fields = { ...options, idType: 'int64' } as const;
  const pieces = [];
  for await (const piece of splitInput(input, { split, ...options }, { rows: 9, bytes: 999 })) pieces.push(piece);
  const chunk = toChunk(pieces[0]!, input, { index: 0, firstRow: 0 });
  expect((await readChunk(chunk, split, fields)).rows.map(({ text: each }) => each)).toEqual(['one', 'two']);
  const changes = [{ rows: 1 }, { rows: 3 }, { content: `${chunk.content.slice(1)}0` }, { end: chunk.end - 1 }];
  for (const change of changes)
    await expect(readChunk({ ...chunk, ...change }, split, fields)).rejects.toMatchObject({
      code: 'invalid-corpus',
      message: expect.stringContaining('planned.csv has changed') as string,
    });
});

describe('CSV and TSV', () => {
  const rows = fc.array(fc.tuple(text, text), { minLength: 1, maxLength: 12 });

  it('have the same fields in readTable(), in chunks of any size and in another CSV library', async () => {
    await fc.assert(
      fc.asyncProperty(
        rows,
        fc.constantFrom(',', '\t'),
        lineEnd,
        fc.boolean(),
        fc.integer({ min: 1, max: 5 }),
        async (table, delimiter, newline, quotes, chunkRows) => {
          const cells = [['text', 'other'], ...table];
          const content = papaparse.unparse(cells, { delimiter, newline, quotes });
          expect(papaparse.parse(content, { delimiter, newline }).data).toEqual(cells);
          const file = await space.write(delimiter === ',' ? 'a.csv' : 'a.tsv', content);
          const { columns } = await readTable({ file, columns: ['text', 'other'] });
          expect(columns).toEqual([table.map(([first]) => first), table.map(([, second]) => second)]);
          expect(await readInChunks(file, chunkRows)).toEqual({ texts: columns[0], rejected: 0 });
        },
      ),
      runs,
    );
  });

  it('with random bytes result in rows or an error that names the file, and no row is lost', async () => {
    await fc.assert(
      fc.asyncProperty(text, fc.integer({ min: 1, max: 4 }), async (content, chunkRows) => {
        const file = await space.write('any.csv', `text\n${content}`);
        const error = (reason: unknown): unknown => reason;
        const outcome = await readInChunks(file, chunkRows).catch(error);
        const table = await readTable({ file, columns: [0] }).catch(error);
        const { rejected = 1, texts = [] } = SentvecError.is(outcome)
          ? {}
          : (outcome as { texts: string[]; rejected: number });
        const refusal = { code: 'invalid-corpus', details: { file } };
        expect(table).toMatchObject(rejected === 0 ? { columns: [texts] } : refusal);
      }),
      runs,
    );
  });
});

describe('JSON lines', () => {
  it('have the values written by JSON.stringify, in readTable() and in chunks of any size', async () => {
    const blank = fc.constantFrom('', '', ' ', '\t');
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(text, blank), { minLength: 1, maxLength: 12 }),
        lineEnd,
        fc.integer({ min: 1, max: 5 }),
        async (lines, newline, chunkRows) => {
          const content = lines.map(
            ([each, between]) => `${JSON.stringify({ text: each })}${newline}${between}${newline}`,
          );
          const file = await space.write('a.jsonl', content.join(''));
          const expected = lines.map(([each]) => each);
          expect((await readTable({ file, columns: ['text'] })).columns[0]).toEqual(expected);
          expect(await readInChunks(file, chunkRows)).toEqual({ texts: expected, rejected: 0 });
        },
      ),
      runs,
    );
  });
});

describe('a manifest with an invalid value', () => {
  it('is refused with an error that names the file, or the value has no effect', async () => {
    const input = await space.write('a.jsonl', '{"text":"one"}\n{"text":"two"}\n');
    const output = space.path('out');
    await embedCorpus({ inputs: [input], output, precision: 'int8' }, fakeEmbedder());
    const path = join(output, 'manifest.json');
    const whole = await readFile(path, 'utf8');
    const names = await readdir(output);
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.jsonValue({ maxDepth: 2 }), async (choice, value) => {
        await writeFile(path, JSON.stringify(replaceOne(JSON.parse(whole), choice, value)));
        const outcome = await readAll(output).catch((error: unknown) => error);
        const refused = SentvecError.is(outcome, 'invalid-output') || SentvecError.is(outcome, 'io-failed');
        expect(refused ? 'refused' : outcome).toBe(refused ? 'refused' : 2);
        expect(await readdir(output)).toEqual(names);
      }),
      runs,
    );
  });
});

/** Vectors in a folder. */
async function readAll(output: string): Promise<number> {
  let rows = 0;
  for await (const { vectors } of (await openEmbeddings(output)).batches()) rows += vectors.rows;
  return rows;
}

/** Replaces one part of the JSON by the value. */
function replaceOne(json: unknown, choice: number, value: unknown): unknown {
  const paths: string[][] = [];
  const walk = (part: unknown, path: string[]): void => {
    paths.push(path);
    if (typeof part !== 'object' || part === null) return;
    for (const [key, entry] of Object.entries(part)) walk(entry, [...path, key]);
  };
  walk(json, []);
  const put = (part: unknown, [key, ...rest]: readonly string[]): unknown => {
    if (key === undefined) return value;
    const copy: Record<string, unknown> = Array.isArray(part) ? ([...part] as never) : { ...(part as object) };
    copy[key] = put(copy[key], rest);
    return copy;
  };
  return put(json, paths[choice % paths.length]!);
}
