import type { StepResult, TrainingEngine, TrainingState } from '@sentvec/training';

/** A fake engine that returns the given results. Its only weight is the number of finished steps. */
export function scriptedEngine(results: (step: number) => Partial<StepResult>): TrainingEngine {
  let steps = 0;
  const state = (): TrainingState => {
    const one = () => Float32Array.of(steps);
    return { steps, weights: one(), firstMoments: one(), secondMoments: one() };
  };
  return {
    name: 'scripted',
    step: async () => ({ loss: 1, gradientNorm: 1, ...results(steps++) }),
    embed: async ({ examples }) => ({ data: new Float32Array(examples), rows: examples, cols: 1 }),
    state: async () => state(),
    restore: async ({ weights }) => {
      steps = weights[0]!;
    },
    dispose: async () => undefined,
  };
}
