// Measures the inputs of linear layers over calibration texts: their ranges, and the error of each candidate for their
// quantization.
import {
  recordCalibration,
  recordTrials,
  remedies,
  type InputQuantization,
  type LinearInput,
  type Remedy,
  type WeightBits,
} from '@sentvec/architectures';
import { observeEncoder, weightsLocation, type Observation } from './observe-encoder.ts';

/** An input of linear layers with the candidates for its quantization, the default first. */
export interface CalibratedInput extends LinearInput {
  readonly remedies: readonly [Remedy, ...Remedy[]];
}

/** Measures the ranges and means of all inputs over the texts of the observation. */
export async function measureRanges(observation: Observation): Promise<CalibratedInput[]> {
  const { model, inputs } = recordCalibration(observation.definition, weightsLocation);
  const ranges = inputs.map(({ width }) => ({
    minimum: new Float32Array(width).fill(Infinity),
    maximum: new Float32Array(width).fill(-Infinity),
    mean: new Float32Array(width),
  }));
  let seen = 0;
  await observeEncoder(model, observation, (outputs, tokens) => {
    seen += tokens;
    for (const [index, { minimum, maximum, mean }] of ranges.entries()) {
      const [low, high, middle] = ['minimum', 'maximum', 'mean'].map((name) => outputs[`${name} ${index}`]!);
      for (let channel = 0; channel < minimum.length; channel += 1) {
        minimum[channel] = Math.min(minimum[channel]!, low![channel]!);
        maximum[channel] = Math.max(maximum[channel]!, high![channel]!);
        mean[channel]! += (middle![channel]! - mean[channel]!) * (tokens / seen);
      }
    }
  });
  return inputs.map((input, index) => ({ ...input, remedies: remedies(ranges[index]!, input.weightExtents) }));
}

/** A remedy makes the model slower, so it is only chosen if its error is below this share of the error without it. */
const mostErrorWithRemedy = 0.8;

/** Measures the errors of all candidates on the texts, and returns the chosen candidate by the name of the input. */
export async function chooseRemedies(
  inputs: readonly CalibratedInput[],
  weightBits: WeightBits,
  observation: Observation,
): Promise<ReadonlyMap<string, Remedy>> {
  const candidates = new Map(inputs.map((input) => [input.name, input.remedies]));
  const trials = recordTrials(observation.definition, candidates, weightBits, weightsLocation);
  const errors = trials.inputs.map((name) => new Float64Array(candidates.get(name)!.length));
  await observeEncoder(trials.model, observation, (outputs) => {
    for (const [index, sums] of errors.entries()) {
      for (const [at, error] of outputs[`errors ${index}`]!.entries()) sums[at]! += error;
    }
  });
  return new Map(
    trials.inputs.map((name, index) => {
      const [byRange, ...others] = candidates.get(name)!;
      let best = { remedy: byRange, error: errors[index]![0]! * mostErrorWithRemedy };
      for (const [at, remedy] of others.entries()) {
        const error = errors[index]![at + 1]!;
        if (error < best.error) best = { remedy, error };
      }
      return [name, best.remedy];
    }),
  );
}

/** The name of the default candidate. */
export const defaultRemedy = 'range';

/** The default candidate for each input, which is its measured range. */
export function defaultQuantization(inputs: readonly CalibratedInput[]): ReadonlyMap<string, Remedy> {
  return new Map(inputs.map(({ name, remedies: [byRange] }) => [name, byRange]));
}

/**
 * The inputs of a quantization plan.
 * @param float32 the names of inputs that stay in float32 (default: none)
 */
export function planInputs(
  chosen: ReadonlyMap<string, Remedy>,
  float32: ReadonlySet<string> = new Set(),
): ReadonlyMap<string, InputQuantization> {
  const quantized = [...chosen].filter(([name]) => !float32.has(name));
  return new Map(quantized.map(([name, remedy]) => [name, remedy.quantization]));
}
