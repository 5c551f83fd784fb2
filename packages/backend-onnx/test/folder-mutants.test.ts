// Folders with a fault are refused with the reason, or give the vectors that the reference gives: nothing else is
// thrown, and nothing hangs.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { plainBackend, plainReference } from '@sentvec/architectures';
import { onnx } from '@sentvec/backend-onnx';
import { memoryModel, SentvecError, type Backend, type Embedder, type ErrorCode } from '@sentvec/core';
import { loadEmbedder } from '@sentvec/core/node';
import { afterAll, describe, expect, it } from 'vitest';
import { mutantOf, type Mutant } from './folder-mutants.ts';

/** How many folders are tried: some in each test run, more by `npm run fuzz`. */
const count = Number(process.env['SENTVEC_FUZZ_FOLDERS'] ?? 100);
const first = Number(process.env['SENTVEC_FUZZ_SEED'] ?? 0);
const perTest = 50;

const cacheDirectory = await mkdtemp(join(tmpdir(), 'sentvec-folder-mutants-'));
afterAll(() => rm(cacheDirectory, { recursive: true, force: true }));

const backends: readonly Backend[] = [
  { ...plainBackend(), reference: plainReference },
  onnx({ sessions: 1, threadsPerSession: 1, cacheDirectory }),
];
const texts = ['The cat sat on the mat.', 'a', 'héllo wörld 123 — 東京 😀', '  spaces   here  ', '!!'];

/** What a folder may be refused with, and a text of a model that was loaded. */
const refusals: { readonly folder: readonly ErrorCode[]; readonly text: readonly ErrorCode[] } = {
  folder: ['invalid-model', 'unsupported-model'],
  text: ['invalid-text', 'invalid-model', 'unsupported-model', 'backend-failed'],
};

/** The vector of each text, or why there is none; one error when the folder was refused. */
type Outcome = SentvecError | readonly (Float32Array | SentvecError)[];

async function outcomeWith(backend: Backend, { files }: Mutant): Promise<Outcome> {
  let embedder: Embedder;
  try {
    embedder = await loadEmbedder(memoryModel('mutant', files), { backend, onWarning: () => {} });
  } catch (error) {
    return refusal(error, refusals.folder);
  }
  try {
    const vectorOf = (text: string): Promise<Float32Array> => embedder.embed(text).then(({ vector }) => vector);
    const outcomes: (Float32Array | SentvecError)[] = [];
    for (const text of texts)
      outcomes.push(await vectorOf(text).catch((error: unknown) => refusal(error, refusals.text)));
    return outcomes;
  } finally {
    await embedder.dispose();
  }
}

/** @throws Error for an error that is not a refusal */
function refusal(error: unknown, codes: readonly ErrorCode[]): SentvecError {
  if (SentvecError.is(error) && codes.includes(error.code) && error.message !== '') return error;
  const what = SentvecError.is(error) ? `${error.code}: ${error.message}` : 'no SentvecError';
  throw new Error(what, { cause: error });
}

/** How the outcomes of two backends disagree; `undefined` when they agree. */
async function faultOf(mutant: Mutant): Promise<string | undefined> {
  try {
    const [expected, actual] = [await outcomeWith(backends[0]!, mutant), await outcomeWith(backends[1]!, mutant)];
    // An ONNX file is another model than the weights beside it, which may be missing.
    const hasOnnxFile = Object.keys(mutant.files).some((path) => path.endsWith('.onnx'));
    return !hasOnnxFile && !mutant.hasOtherNumbers ? differenceOf(expected, actual) : undefined;
  } catch (error) {
    const { message, cause } = error as Error;
    return cause instanceof Error ? `${message}: ${cause.stack}` : message;
  }
}

function differenceOf(expected: Outcome, actual: Outcome): string | undefined {
  if ('message' in expected || 'message' in actual) {
    if ('message' in expected && 'message' in actual) return undefined;
    return `loaded by one backend only: ${'message' in expected ? expected.message : (actual as Error).message}`;
  }
  for (const [index, vector] of expected.entries()) {
    const other = actual[index]!;
    const name = `text ${index}`;
    if ('message' in vector || 'message' in other) {
      if ('message' in vector && 'message' in other) continue;
      return `${name} embedded by one backend only: ${'message' in vector ? vector.message : (other as Error).message}`;
    }
    const largest = Math.max(...vector.map(Math.abs));
    const difference = Math.max(...vector.map((value, entry) => Math.abs(value - other[entry]!)));
    if (!(difference <= 1e-3 * largest)) return `${name} differs by ${difference} of ${largest}`;
  }
  return undefined;
}

describe('folders with a fault are refused, or give the right vectors', () => {
  for (let from = first; from < first + count; from += perTest) {
    const to = Math.min(from + perTest, first + count) - 1;
    it(`seeds ${from} to ${to}`, { timeout: 600_000 }, async () => {
      const faults: string[] = [];
      for (let seed = from; seed <= to; seed += 1) {
        const mutant = await mutantOf(seed);
        const fault = await faultOf(mutant);
        if (fault !== undefined) faults.push(`${mutant.title}\n    ${fault}`);
      }
      expect(faults).toEqual([]);
    });
  }
});
