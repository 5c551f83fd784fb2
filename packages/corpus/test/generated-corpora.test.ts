/**
 * For files generated from a seed, each row must have a vector with the correct text, id and stored value, or be
 * rejected.
 */
import { rm, stat } from 'node:fs/promises';
import { SentvecError } from '@sentvec/core';
import { embedCorpus, openEmbeddings } from '@sentvec/corpus';
import { describe, expect, it } from 'vitest';
import { fakeEmbedder } from './fake-embedder.ts';
import { corpusOf, type GeneratedCorpus } from './generated-corpora.ts';
import { readRejected, workspace } from './workspace.ts';

const space = workspace();

/** Number of generated files: a few in each test run, more with `npm run fuzz`. */
const count = Number(process.env['SENTVEC_FUZZ_CORPORA'] ?? 200);
const first = Number(process.env['SENTVEC_FUZZ_SEED'] ?? 0);
const perTest = 100;

/** Checks the output for a file. Returns a description of the problem, or `undefined` if it is correct. */
async function faultOf(corpus: GeneratedCorpus): Promise<string | undefined> {
  const input = await space.write(corpus.name, corpus.bytes);
  const output = space.path('out');
  try {
    const manifest = await embedCorpus({ ...corpus.request, inputs: [input], output }, fakeEmbedder());
    if (corpus.isRefused) return 'a cut gzip was accepted';
    const rejected = new Set((await readRejected(output)).map(({ row }) => row));
    const vectors: { readonly id: unknown; readonly text: unknown; readonly kept: unknown }[] = [];
    const embeddings = await openEmbeddings(output);
    for await (const { ids, columns } of embeddings.batches())
      for (const [row, id] of ids.entries())
        vectors.push({ id, text: columns['text']![row], kept: columns['kept']?.[row] });
    if (manifest.rows !== vectors.length || manifest.rejected !== rejected.size) return 'the manifest counts wrong';
    const all = vectors.length + rejected.size;
    if (corpus.count !== undefined && all !== corpus.count) return `${all} rows of ${corpus.count}`;
    return corpus.rows && differenceOf(corpus, vectors, rejected);
  } catch (error) {
    if (!SentvecError.is(error, 'invalid-corpus')) return String((error as Error).stack);
    if (await stat(output).catch(() => undefined)) return 'refused, and an output is there';
    return corpus.rows && !corpus.isRefused ? `refused: ${error.message}` : undefined;
  } finally {
    await rm(output, { recursive: true, force: true });
  }
}

function differenceOf(
  { rows = [], request }: GeneratedCorpus,
  vectors: readonly { readonly id: unknown; readonly text: unknown; readonly kept: unknown }[],
  rejected: ReadonlySet<number>,
): string | undefined {
  // Values of typed columns that are not texts are stored as JSON.
  const hasTypes = request.format === 'jsonl' || request.format === 'npy';
  let next = 0;
  for (const [row, expected] of rows.entries()) {
    if ((expected === 'rejected') !== rejected.has(row))
      return `row ${row} is ${rejected.has(row) ? '' : 'not '}rejected`;
    if (expected === 'rejected') continue;
    const { id, text, kept } = vectors[next]!;
    next += 1;
    const value = hasTypes || typeof expected.kept === 'string' ? expected.kept : JSON.stringify(expected.kept);
    if (text !== expected.text) return `row ${row} has the text ${JSON.stringify(text)}`;
    if (String(id) !== expected.id) return `row ${row} has the id ${JSON.stringify(id)}`;
    if (kept !== value) return `row ${row} has kept ${JSON.stringify(kept)}, not ${JSON.stringify(value)}`;
  }
  return undefined;
}

describe('generated files: every row has a vector or is rejected', () => {
  for (let from = first; from < first + count; from += perTest) {
    const to = Math.min(from + perTest, first + count) - 1;
    it(`seeds ${from} to ${to}`, { timeout: 600_000 }, async () => {
      const faults: string[] = [];
      for (let seed = from; seed <= to; seed += 1) {
        const corpus = corpusOf(seed);
        const fault = await faultOf(corpus);
        if (fault !== undefined) faults.push(`${corpus.title}\n    ${fault}`);
      }
      expect(faults).toEqual([]);
    });
  }
});
