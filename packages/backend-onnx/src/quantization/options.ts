// The options of quantizeModel, and their check.
import { SentvecError } from '@sentvec/core';
import { checkOptionNames, type OptionNames } from '@sentvec/platform';
import { defaultBar, type QualityBar } from './quality.ts';

/**
 * How the encoder is stored and computed. `int8`: products of bytes, about 2.5 times as fast on a CPU, a quarter of the
 * size. `int8-weights`: a quarter of the size, computed in float32. `float16`: half of the size, computed in float32.
 */
export type ModelPrecision = 'int8' | 'int8-weights' | 'float16';

/** What {@link QuantizeModelOptions.onProgress} is called with. */
export interface QuantizationProgress {
  /** What is being done, for people: "Measuring activation ranges". */
  readonly step: string;
  readonly done: number;
  readonly total: number;
}

/** Options of `quantizeModel`. */
export interface QuantizeModelOptions {
  /**
   * Texts such as the model will embed, at least 64: activation ranges are measured on three quarters of them, and the
   * quality on every fourth.
   * @default a built-in sample of English texts
   */
  readonly texts?: readonly string[] | undefined;
  /** @default 'int8' */
  readonly precision?: ModelPrecision | undefined;
  /**
   * Bits of the weights of `int8`. With 8, CPUs that have AVX2 and no VNNI compute wrongly, and the self-check may refuse
   * them; with 7, none does, and a little is lost.
   * @default 8 where this CPU multiplies 8-bit integers exactly, else 7
   */
  readonly weightBits?: 7 | 8 | undefined;
  /** What the vectors of the quantized model must reach, compared with those in float32. */
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

/** Fewer texts say little of ranges and of quality. */
const minTexts = 64;

/** Every fourth text is held out: the quality is measured on texts that no range was measured on. */
const heldOutOf = 4;

/** Options with their defaults, and the texts in two parts. */
export interface QuantizationSettings {
  readonly precision: ModelPrecision;
  /** `undefined`: as this CPU needs it. */
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
    refuse(`quantizeModel({ precision }) knows no "${precision}". It knows ${precisions.join(', ')}.`);
  if (weightBits !== undefined && ![7, 8].includes(weightBits))
    refuse(`quantizeModel({ weightBits }) is 7 or 8, not ${String(weightBits)}.`);
  checkOptionNames('quantizeModel({ bar })', bar, { meanCosine: true, minimumCosine: true, rankLoss: true });
  for (const [name, value] of Object.entries(bar)) {
    if (value !== undefined && !(value >= 0 && value <= 1))
      refuse(`quantizeModel({ bar: { ${name} } }) is a number from 0 to 1, not ${String(value)}.`);
  }
  const distinct = [...new Set(texts)].filter((text) => text.trim() !== '');
  if (distinct.length < minTexts) {
    refuse(
      `Quantizing needs at least ${minTexts} different texts, such as the model will embed; there are ${distinct.length}. ` +
        'Give more, or none: then a built-in sample of English texts is taken.',
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
    calibration: distinct.filter((_, index) => index % heldOutOf !== heldOutOf - 1),
    heldOut: distinct.filter((_, index) => index % heldOutOf === heldOutOf - 1),
  };
}
