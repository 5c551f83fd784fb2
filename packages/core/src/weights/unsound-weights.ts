import { shouldYield, yieldToEventLoop } from '@sentvec/platform';
import { SentvecError } from '../errors.ts';
import type { Head, ModelFiles } from '../types.ts';
import { readWeights } from './read-weights.ts';

/** Beyond this, products of weights leave float32. Those of a model that was trained stay below some hundreds. */
const largestSound = 1e9;

/** Numbers that are checked before the clock is read again. */
const numbersOfStep = 2 ** 16;

/**
 * Looks for the reason why a model gives no sound vectors in its weights, which may be damaged.
 * @param files those of the encoder
 * @returns the error `invalid-model` that names the tensor; `undefined` when its safetensors and its head are sound
 */
export async function unsoundWeights(files: ModelFiles, head: Head): Promise<SentvecError | undefined> {
  if ((await files.list()).some((path) => path.endsWith('.safetensors'))) {
    const weights = await readWeights(files);
    for (const name of weights.names()) {
      if (!/^(?:F16|BF16|F32|F64)$/u.test(weights.type(name))) continue;
      const found = await firstUnsound(weights.tensor(name).data);
      if (found !== undefined) return unsound(`The tensor "${name}" of ${files.name}/model.safetensors`, found, files);
    }
  }
  for (const [index, projection] of head.projections.entries()) {
    for (const values of Object.values(projection)) {
      const numbers = typeof values === 'object' && 'data' in values ? values.data : values;
      const found = numbers instanceof Float32Array ? await firstUnsound(numbers) : undefined;
      if (found !== undefined) return unsound(`Module ${index + 1} after the pooling of ${files.name}`, found, files);
    }
  }
  return undefined;
}

async function firstUnsound(numbers: Float32Array): Promise<number | undefined> {
  for (let start = 0; start < numbers.length; start += numbersOfStep) {
    const found = numbers.subarray(start, start + numbersOfStep).find((value) => !(Math.abs(value) <= largestSound));
    if (found !== undefined) return found;
    if (shouldYield()) await yieldToEventLoop();
  }
  return undefined;
}

function unsound(what: string, value: number, { name }: ModelFiles): SentvecError {
  return new SentvecError(
    'invalid-model',
    `${what} holds ${value}, with which no vector can be computed. Download the model again.`,
    { file: name },
  );
}
