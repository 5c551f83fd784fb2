import type { ControlOperations, MovementOperations } from './operations.ts';

/** Conditions and loops for interpreters that compute values immediately, so that all sizes are numbers. */
export function immediateControl<T>({
  concat,
  slice,
}: Pick<MovementOperations<T>, 'concat' | 'slice'>): ControlOperations<T> {
  return {
    ifLonger: (size, limit, long, short) => (Number(size) > limit && long !== undefined ? long() : short()),

    inBlocks(count, { size, before = Infinity, after = Infinity }, axis, compute) {
      const all = Number(count);
      const blocks = Array.from({ length: Math.ceil(all / size) }, (_, block) => {
        const start = Math.min(block * size, all - size);
        const from = Math.max(start - before, 0);
        const result = compute({ start, size, from, length: Math.min(start + size + after, all) - from });
        const known = block * size - start;
        return known === 0 ? result : slice(result, axis, known, size - known);
      });
      return concat(blocks, axis);
    },
  };
}
