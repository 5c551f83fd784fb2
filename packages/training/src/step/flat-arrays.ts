/** The arrays one after the other. */
export function joined(parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    all.set(part, offset);
    offset += part.length;
  }
  return all;
}

/** Adds `more` to `to`, in place. */
export function add(to: Float32Array, more: Float32Array): void {
  for (let i = 0; i < to.length; i++) to[i] = to[i]! + more[i]!;
}

/** Multiplies every entry, in place. */
export function scale(values: Float32Array, factor: number): void {
  for (let i = 0; i < values.length; i++) values[i] = values[i]! * factor;
}
