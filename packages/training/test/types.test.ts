/** Type tests of the public API: inferred types, and code that must not compile. Nothing here is executed. */
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

it('a loss is generic over the tensor type of the operations', () => {
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
    // @ts-expect-error -- compute() must return a tensor, not a number
    const number: Loss = { name: 'One', columns: { least: 1, most: 1 }, labels: 'none', compute: () => 1 };
    return number;
  }).toBeFunction();
});

it('train() requires an engine, a reader and data sets, and returns the history', () => {
  expectTypeOf(() => {
    expectTypeOf(train(request)).toEqualTypeOf<Promise<TrainingOutcome>>();
    // @ts-expect-error -- the engine is required
    void train({ reader: request.reader, sets: request.sets });
  }).toBeFunction();
  expectTypeOf<Parameters<NonNullable<TrainingRequest['evaluate']>>>().toEqualTypeOf<
    [embed: EmbedTexts, score: ScorePairs]
  >();
  expectTypeOf<keyof TrainingEngine>().toEqualTypeOf<'name' | 'step' | 'embed' | 'state' | 'restore' | 'dispose'>();
});
