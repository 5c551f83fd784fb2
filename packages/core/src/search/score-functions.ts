import { portableScoreFunctions } from './portable-score-functions.ts';
import { scoreKernelsBinary } from './score-kernels-binary.ts';

/**
 * What is computed of two vectors: the dot product, sums of squared or absolute differences (float32), dot products of
 * 8-bit whole numbers, or the number of bits that differ.
 */
export type Scoring = 'dot' | 'squared-distance' | 'absolute-distance' | 'dot-int8' | 'dot-uint8' | 'hamming';

/**
 * Compares all queries with all rows. The first three arguments are addresses in a memory; then come the bytes from one
 * vector to the next, a multiple of 16, and the two counts, multiples of 4 and 2. Writes a row of scores for each
 * query, of 4 bytes each: float32, for the last three scorings int32.
 */
export type ScoreFunction = (
  queries: number,
  rows: number,
  scores: number,
  stride: number,
  queryCount: number,
  rowCount: number,
) => void;

/** The functions over one memory. */
export interface ScoreMemory {
  readonly buffer: ArrayBuffer;
  readonly functions: Readonly<Record<Scoring, ScoreFunction>>;
}

/** Makes a memory of at least so many bytes, all zero. */
export type ScoreRuntime = (bytes: number) => ScoreMemory;

/**
 * Plain TypeScript, for where WebAssembly may not be compiled (a strict content security policy, some edge runtimes).
 * Gives the same bits.
 */
export const portableRuntime: ScoreRuntime = (bytes) => {
  const buffer = new ArrayBuffer(bytes);
  return { buffer, functions: portableScoreFunctions(buffer) };
};

/** The little of the WebAssembly interface that is used here; the library of TypeScript has it for browsers only. */
interface WebAssemblyInterface {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Memory: new (size: { initial: number }) => { readonly buffer: ArrayBuffer };
  readonly Instance: new (module: object, imports: object) => { readonly exports: ScoreMemory['functions'] };
}

const pageBytes = 65_536;

/** WebAssembly with 128-bit SIMD, or `undefined` where it is not to be had. */
export function webAssemblyRuntime(): ScoreRuntime | undefined {
  const { WebAssembly } = globalThis as unknown as { WebAssembly?: WebAssemblyInterface };
  if (!WebAssembly) return undefined;
  try {
    const module = new WebAssembly.Module(
      Uint8Array.from(atob(scoreKernelsBinary), (character) => character.charCodeAt(0)),
    );
    return (bytes) => {
      const memory = new WebAssembly.Memory({ initial: Math.ceil(bytes / pageBytes) });
      const { exports } = new WebAssembly.Instance(module, { sentvec: { memory } });
      return { buffer: memory.buffer, functions: exports };
    };
  } catch {
    return undefined;
  }
}

let best: ScoreRuntime | undefined;

/**
 * The fastest runtime there is here. Measured on one core (EPYC, AVX2, Node 20), 96 queries against blocks of 168 rows
 * of 384 entries: WebAssembly 33 GFLOP/s, the portable functions 1.6; register-blocked double precision in TypeScript
 * reached 3.3.
 */
export function bestRuntime(): ScoreRuntime {
  return (best ??= webAssemblyRuntime() ?? portableRuntime);
}
