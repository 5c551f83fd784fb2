/** Does some work; a page has relaxed SIMD or has not. */
export function withRelaxedSimd<T>(work: () => T): T {
  return work();
}
