import { setFlagsFromString } from 'node:v8';

/** The first V8 that has relaxed SIMD without a flag. Node 20 has 11.3. */
const firstWithout = [11, 4] as const;

/**
 * Does some work, which must not wait for anything, with relaxed SIMD switched on: Node 20 has it behind a flag of V8.
 * A module that is compiled meanwhile keeps it; what else the process compiles, before and after, is as ever.
 */
export function withRelaxedSimd<T>(work: () => T): T {
  const [major = 0, minor = 0] = process.versions.v8.split('.').map(Number);
  if (major > firstWithout[0] || (major === firstWithout[0] && minor >= firstWithout[1])) return work();
  setFlagsFromString('--experimental-wasm-relaxed-simd');
  try {
    return work();
  } finally {
    setFlagsFromString('--no-experimental-wasm-relaxed-simd');
  }
}
