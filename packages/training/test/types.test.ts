/** The public types as a caller meets them: what they infer, and what does not compile. Nothing here is executed. */
import {
  meanOf,
  pairOf,
  train,
  type EmbedTexts,
  type ScorePairs,
  type Loss,
  type TrainingEngine,
  type TrainingOutcome,
  type TrainingRequest,
} from '@sentvec/training';
import { expectTypeOf, it } from 'vitest';

declare const request: TrainingRequest;

it('a loss is written over the tensor operations, whatever a tensor is', () => {
  const squaredDistance: Loss = {
    name: 'SquaredDistance',
    columns: { least: 2, most: 2 },
    labels: 'none',
    compute(ops, columns) {
      const [anchor, positive] = pairOf(columns);
      const difference = ops.subtract(anchor, positive);
      return meanOf(ops, ops.multiply(difference, difference));
    },
  };
  expectTypeOf(squaredDistance).toExtend<Loss>();
  expectTypeOf(() => {
    // @ts-expect-error -- a loss is a tensor of its operations, not a number
    const number: Loss = { name: 'One', columns: { least: 1, most: 1 }, labels: 'none', compute: () => 1 };
    return number;
  }).toBeFunction();
});

it('a run takes an engine, a reader and sets, and gives its history', () => {
  expectTypeOf(() => {
    expectTypeOf(train(request)).toEqualTypeOf<Promise<TrainingOutcome>>();
    // @ts-expect-error -- without an engine nothing is computed
    void train({ reader: request.reader, sets: request.sets });
  }).toBeFunction();
  expectTypeOf<Parameters<NonNullable<TrainingRequest['evaluate']>>>().toEqualTypeOf<
    [embed: EmbedTexts, score: ScorePairs]
  >();
  expectTypeOf<keyof TrainingEngine>().toEqualTypeOf<'name' | 'step' | 'embed' | 'state' | 'restore' | 'dispose'>();
});
