/** Faulty Parquet files are refused with a reason or read without losing rows; nothing crashes or hangs. */
import { rm } from 'node:fs/promises';
import { SentvecError } from '@sentvec/core';
import { embedCorpus, openEmbeddings } from '@sentvec/corpus';
import { describe, expect, it } from 'vitest';
import { fakeEmbedder } from './fake-embedder.ts';
import { parquetOf, type GeneratedParquet } from './generated-parquet.ts';
import { workspace } from './workspace.ts';

const space = workspace();

/** Number of generated files: a few in each test run, more with `npm run fuzz`. */
const count = Number(process.env['SENTVEC_FUZZ_PARQUET'] ?? 150);
const first = Number(process.env['SENTVEC_FUZZ_SEED'] ?? 0);
const perTest = 50;

async function faultOf({ bytes, texts, isSound }: GeneratedParquet): Promise<string | undefined> {
  const input = await space.write('generated.parquet', bytes);
  const output = space.path('out');
  try {
    const columns = ['text', 'number', 'tags'];
    const { rows, rejected } = await embedCorpus({ inputs: [input], output, columns, chunkRows: 90 }, fakeEmbedder());
    // Damaged values may stay undetected, but no row may be lost.
    if (rows + rejected !== texts.length) return `${rows} rows and ${rejected} rejected of ${texts.length}`;
    const read: string[] = [];
    const embeddings = await openEmbeddings(output);
    for await (const batch of embeddings.batches()) read.push(...batch.texts!);
    return isSound && read.join('\n') !== texts.join('\n') ? 'other texts' : undefined;
  } catch (error) {
    if (!SentvecError.is(error, 'invalid-corpus')) return String((error as Error).stack);
    return isSound ? `refused: ${error.message}` : undefined;
  } finally {
    await rm(output, { recursive: true, force: true });
  }
}

describe('generated Parquet files are refused, or read without losing rows', () => {
  for (let from = first; from < first + count; from += perTest) {
    const to = Math.min(from + perTest, first + count) - 1;
    it(`seeds ${from} to ${to}`, { timeout: 600_000 }, async () => {
      const faults: string[] = [];
      for (let seed = from; seed <= to; seed += 1) {
        const file = parquetOf(seed);
        const fault = await faultOf(file);
        if (fault !== undefined) faults.push(`${file.title}\n    ${fault}`);
      }
      expect(faults).toEqual([]);
    });
  }
});
