import { readdir, readFile, writeFile } from 'node:fs/promises';
import { SentvecError } from '@sentvec/core';
import { buildApproximateIndex, embedCorpus, openIndex } from '@sentvec/corpus';
import { expect, it } from 'vitest';
import { fakeEmbedder } from './fake-embedder.ts';
import { workspace } from './workspace.ts';

const space = workspace();
const rows = 1500;
const options = { dimension: 16 };

async function folder(name: string, from = 0, to = rows, request: object = {}): Promise<string> {
  const lines = Array.from({ length: to - from }, (_, row) =>
    JSON.stringify({ text: `text ${from + row}`, part: (from + row) % 3 }),
  );
  const input = await space.write(`${name}.jsonl`, lines.join('\n'));
  const output = space.path(name);
  await embedCorpus(
    { inputs: [input], output, chunkRows: 500, columns: ['text', 'part'], ...request },
    fakeEmbedder(options),
  );
  return output;
}

async function errorOf(work: Promise<unknown>): Promise<SentvecError> {
  const error: unknown = await work.catch((caught: unknown) => caught);
  if (SentvecError.is(error)) return error;
  throw new Error(`Expected a SentvecError, got ${String(error)}`);
}

it('proposes rows of several folders whose scores are those of an exact search, also with a filter', async () => {
  const embedder = fakeEmbedder(options);
  const folders = [await folder('first', 0, 1000), await folder('second', 1000, 1500)];
  let added = 0;
  for (const each of folders)
    await buildApproximateIndex(each, { onProgress: ({ vectors, total }) => (added += Number(vectors === total)) });
  expect(added).toBe(2);
  const approximate = await openIndex(folders, { embedder, approximate: true });
  const exact = await openIndex(folders, { embedder });
  const part = ({ part: value }: Readonly<Record<string, unknown>>): boolean => Number(value) === 1;
  // What asks for more than a tenth of all rows is searched exactly.
  for (const search of [
    { topK: 5 },
    { topK: 5, filter: part },
    { topK: 3, filter: (_: unknown, id: unknown) => id === 7 },
    { topK: Infinity },
  ])
    for (const query of ['text 3', 'another text', 'text 1400']) {
      const [found, expected] = [await approximate.search(query, search), await exact.search(query, search)];
      const scoreOf = new Map((await exact.search(query, { topK: rows })).map(({ row, score }) => [row, score]));
      expect(found.length).toBe(expected.length);
      for (const { row, score } of found) expect(score).toBeCloseTo(scoreOf.get(row)!, 6);
      const right = found.filter(({ row }) => expected.some((hit) => hit.row === row)).length;
      expect(right / expected.length).toBeGreaterThan(0.75);
    }
});

it('is refused when it is missing, damaged, or of other vectors, and replaced when it is built again', async () => {
  const embedder = fakeEmbedder(options);
  const directory = await folder('changing', 0, 40);
  const open = (): Promise<unknown> => openIndex(directory, { embedder, approximate: true });
  expect((await errorOf(open())).message).toContain('has no approximate index');
  const file = await buildApproximateIndex(directory);
  await open();
  await folder('changing', 0, 60, { overwrite: true });
  const stale = await errorOf(open());
  expect([stale.code, stale.details['stale']]).toEqual(['invalid-output', true]);
  const again = await buildApproximateIndex(directory);
  expect(again).not.toBe(file);
  expect((await readdir(directory)).filter((name) => name.includes('approximate'))).toHaveLength(1);
  await open();
  await writeFile(again, (await readFile(again)).subarray(0, 100));
  expect((await errorOf(open())).message).toContain('is damaged');
});

it('refuses vectors that it cannot compare, and stops when it is told to', async () => {
  const int8 = await folder('int8', 0, 40, { precision: 'int8' });
  expect((await errorOf(buildApproximateIndex(int8))).message).toContain('An approximate index is for float32');
  const directory = await folder('stopped', 0, 40);
  const controller = new AbortController();
  const stopped = buildApproximateIndex(directory, {
    signal: controller.signal,
    onProgress: () => controller.abort(),
  });
  expect((await errorOf(stopped)).code).toBe('aborted');
  expect((await readdir(directory)).filter((name) => name.includes('approximate'))).toEqual([]);
});
