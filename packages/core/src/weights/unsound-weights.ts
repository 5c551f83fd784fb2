import { shouldYield, yieldToEventLoop } from '@sentvec/platform';
import { SentvecError } from '../errors.ts';
import type { Head, ModelFiles } from '../types.ts';
import { readWeights } from './read-weights.ts';

/**
 * Largest plausible absolute value of a weight. Those of trained models are below some hundreds; beyond 1e9, products
 * may exceed float32.
 */
const maxWeight = 1e9;

/** How many numbers are checked between checks whether to yield to the event loop. */
const numbersOfStep = 2 ** 16;

/**
 * Checks whether damaged weights (NaN, infinity, huge values) are the reason why a model gives wrong vectors.
 * @param files the files of the encoder
 * @returns the error `invalid-model` that names the tensor; `undefined` when the safetensors and the head are valid
 */
export async function invalidWeightsError(files: ModelFiles, head: Head): Promise<SentvecError | undefined> {
  if ((await files.list()).some((path) => path.endsWith('.safetensors'))) {
    const weights = await readWeights(files);
    for (const name of weights.names()) {
      if (!/^(?:F16|BF16|F32|F64)$/u.test(weights.type(name))) continue;
      const found = await firstInvalid(weights.tensor(name).data);
      if (found !== undefined)
        return invalidValueError(`The tensor "${name}" of ${files.name}/model.safetensors`, found, files);
    }
  }
  for (const [index, projection] of head.projections.entries()) {
    for (const values of Object.values(projection)) {
      const numbers = typeof values === 'object' && 'data' in values ? values.data : values;
      const found = numbers instanceof Float32Array ? await firstInvalid(numbers) : undefined;
      if (found !== undefined)
        return invalidValueError(`Module ${index + 1} after the pooling of ${files.name}`, found, files);
    }
  }
  return undefined;
}

async function firstInvalid(numbers: Float32Array): Promise<number | undefined> {
  for (let start = 0; start < numbers.length; start += numbersOfStep) {
    const found = numbers.subarray(start, start + numbersOfStep).find((value) => !(Math.abs(value) <= maxWeight));
    if (found !== undefined) return found;
    if (shouldYield()) await yieldToEventLoop();
  }
  return undefined;
}

function invalidValueError(what: string, value: number, { name }: ModelFiles): SentvecError {
  return new SentvecError(
    'invalid-model',
    `${what} contains ${value}, which is not a valid weight. Download the model again.`,
    { file: name },
  );
}
