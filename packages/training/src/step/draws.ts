// What a loss draws at random in each step: a layer, some dimensions.
import type { Operations } from '@sentvec/architectures';
import { Random } from '../random.ts';

/** A draw of a step: some of so many, each at most once. */
export interface Draw {
  readonly from: number;
  readonly take: number;
}

/** How many numbers tell what was drawn. */
export function sizeOfDraws(draws: readonly Draw[]): number {
  return draws.reduce((sum, { from }) => sum + from, 0);
}

/** Makes the draws: 1 for what is drawn and 0 for what is not, one draw after the other. */
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

/** The numbers of one draw, `[from]`, among those of all. */
export function numbersOfDraw<Tensor>(
  ops: Operations<Tensor>,
  all: Tensor,
  draws: readonly Draw[],
  index: number,
): Tensor {
  return ops.slice(all, 0, sizeOfDraws(draws.slice(0, index)), draws[index]!.from);
}
