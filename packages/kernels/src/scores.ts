// Scores of vectors against queries: on WebAssembly where it may be compiled, else in plain TypeScript.
import { scores } from './binaries.ts';
import { compileKernels, instantiateKernels, kernelMemory } from './instantiate.ts';
import { portableScores } from './portable-scores.ts';
import type { ScoreFunctions, ScoreRuntime } from './score-functions.ts';

/** WebAssembly with 128-bit SIMD, or `undefined` where the engine does not have it. */
export function webAssemblyScores(): ScoreRuntime | undefined {
  try {
    const module = compileKernels(scores);
    return (bytes) => {
      const memory = kernelMemory(bytes);
      return { buffer: memory.buffer, functions: instantiateKernels(module, memory) as ScoreFunctions };
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
export function bestScores(): ScoreRuntime {
  return (best ??= webAssemblyScores() ?? portableScores);
}
