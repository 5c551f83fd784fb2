/** The first V8 that has relaxed SIMD without a flag. Node 20 has 11.3. */
const firstWithout = [11, 4] as const;

/** What this file uses of Node. */
interface NodeProcess {
  readonly versions?: { readonly v8?: string | undefined } | undefined;
  readonly getBuiltinModule?: ((name: 'node:v8') => { setFlagsFromString(flag: string): void }) | undefined;
}

/**
 * Does some synchronous work with relaxed SIMD switched on. Node 20 has it behind a flag of V8, which is cleared again
 * afterwards: a module that was compiled meanwhile keeps the feature, and all others are compiled without. Other engines
 * either have relaxed SIMD or do not, and then nothing is switched.
 */
export function withRelaxedSimd<T>(work: () => T): T {
  const { process } = globalThis as { process?: NodeProcess };
  const [major = Infinity, minor = 0] = process?.versions?.v8?.split('.').map(Number) ?? [];
  const hasFlag = major < firstWithout[0] || (major === firstWithout[0] && minor < firstWithout[1]);
  const v8 = hasFlag ? process?.getBuiltinModule?.('node:v8') : undefined;
  v8?.setFlagsFromString('--experimental-wasm-relaxed-simd');
  try {
    return work();
  } finally {
    v8?.setFlagsFromString('--no-experimental-wasm-relaxed-simd');
  }
}
