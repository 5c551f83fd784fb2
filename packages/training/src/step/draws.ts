// Random draws of a loss in each step, such as layers or dimensions.
import type { Operations } from '@sentvec/architectures';
import { Random } from '../random.ts';

/** A draw without replacement: `take` of `from` items. */
export interface Draw {
  readonly from: number;
  readonly take: number;
}

/** Length of the array that {@link drawn} returns. */
export function sizeOfDraws(draws: readonly Draw[]): number {
  return draws.reduce((sum, { from }) => sum + from, 0);
}

/**
 * Makes all draws of a step. Returns `from` numbers for each draw, concatenated: 1 for a drawn item, 0 for any other.
 */
export function drawn(draws: readonly Draw[], seed: number): Float32Array {
  const random = new Random(seed, 13);
  return Float32Array.from(
    draws.flatMap(({ from, take }) => {
      const order = random.shuffle(Array.from({ length: from }, (_, index) => index));
      const chosen = new Set(order.slice(0, take));
      return Array.from({ length: from }, (_, index) => Number(chosen.has(index)));
    }),
  );
}

/** Slices the numbers of one draw, `[from]`, from those of all draws. */
export function numbersOfDraw<Tensor>(
  ops: Operations<Tensor>,
  all: Tensor,
  draws: readonly Draw[],
  index: number,
): Tensor {
  return ops.slice(all, 0, sizeOfDraws(draws.slice(0, index)), draws[index]!.from);
}
