// The options of quantizeModel, and their check.
import { SentvecError } from '@sentvec/core';
import { checkOptionNames, type OptionNames } from '@sentvec/platform';
import { defaultBar, type QualityBar } from './quality.ts';

/**
 * The precision of the encoder. `int8`: a quarter of the size, computed in 8-bit integers, about 2.5 times as fast on a
 * CPU. `int8-weights`: a quarter of the size, computed in float32. `float16`: half of the size, computed in float32.
 */
export type ModelPrecision = 'int8' | 'int8-weights' | 'float16';

/** The argument of {@link QuantizeModelOptions.onProgress}. */
export interface QuantizationProgress {
  /** A description of the current step, such as "Measuring the ranges of activations". */
  readonly step: string;
  readonly done: number;
  readonly total: number;
}

/** Options of `quantizeModel`. */
export interface QuantizeModelOptions {
  /**
   * At least 64 texts like those that the model will embed. Activation ranges are measured on three quarters of them,
   * and the quality on the rest.
   * @default a built-in sample of English texts
   */
  readonly texts?: readonly string[] | undefined;
  /** @default 'int8' */
  readonly precision?: ModelPrecision | undefined;
  /**
   * The number of bits of the weights with `int8`. With 8 bits, CPUs with AVX2 but without VNNI give wrong results, and
   * the self-check may refuse them. With 7 bits all CPUs give the same results, with slightly lower quality.
   * @default 8 if this CPU multiplies 8-bit integers exactly, otherwise 7
   */
  readonly weightBits?: 7 | 8 | undefined;
  /**
   * The minimum quality of the quantized model's vectors compared with float32.
   * @default see {@link QualityBar}
   */
  readonly bar?: QualityBar | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: QuantizationProgress) => void) | undefined;
}

const optionNames: OptionNames<QuantizeModelOptions> = {
  texts: true,
  precision: true,
  weightBits: true,
  bar: true,
  signal: true,
  onProgress: true,
};

const precisions: readonly ModelPrecision[] = ['int8', 'int8-weights', 'float16'];

/** The minimum number of texts for useful ranges and quality measures. */
const minTexts = 64;

/** Every fourth text is held out: it is used for the quality and not for the ranges. */
const heldOutPeriod = 4;

/** Options with defaults, and the texts split into calibration and held-out texts. */
export interface QuantizationSettings {
  readonly precision: ModelPrecision;
  /** `undefined`: depends on this CPU. */
  readonly weightBits: 7 | 8 | undefined;
  readonly bar: typeof defaultBar;
  readonly calibration: readonly string[];
  readonly heldOut: readonly string[];
}

/** @throws SentvecError `invalid-argument` */
export function checkQuantizeOptions(options: QuantizeModelOptions, sample: readonly string[]): QuantizationSettings {
  checkOptionNames('quantizeModel()', options, optionNames);
  const { precision = 'int8', weightBits, bar = {}, texts = sample } = options;
  const refuse = (message: string): never => {
    throw new SentvecError('invalid-argument', message);
  };
  if (!precisions.includes(precision))
    refuse(`quantizeModel({ precision }) must be one of ${precisions.join(', ')}, not "${precision}".`);
  if (weightBits !== undefined && ![7, 8].includes(weightBits))
    refuse(`quantizeModel({ weightBits }) must be 7 or 8, not ${String(weightBits)}.`);
  checkOptionNames('quantizeModel({ bar })', bar, { meanCosine: true, minimumCosine: true, rankLoss: true });
  for (const [name, value] of Object.entries(bar)) {
    if (value !== undefined && !(value >= 0 && value <= 1))
      refuse(`quantizeModel({ bar: { ${name} } }) must be a number from 0 to 1, not ${String(value)}.`);
  }
  const distinct = [...new Set(texts)].filter((text) => text.trim() !== '');
  if (distinct.length < minTexts) {
    refuse(
      `Quantizing needs at least ${minTexts} different texts like those that the model will embed; there are ${distinct.length}. ` +
        'Add more texts, or leave out "texts" to use a built-in sample of English texts.',
    );
  }
  return {
    precision,
    weightBits,
    bar: {
      meanCosine: bar.meanCosine ?? defaultBar.meanCosine,
      minimumCosine: bar.minimumCosine ?? defaultBar.minimumCosine,
      rankLoss: bar.rankLoss ?? defaultBar.rankLoss,
    },
    calibration: distinct.filter((_, index) => index % heldOutPeriod !== heldOutPeriod - 1),
    heldOut: distinct.filter((_, index) => index % heldOutPeriod === heldOutPeriod - 1),
  };
}
