// The quantization plan of an encoder: how the input of each linear layer is quantized, and the candidates for it.
import type { WeightBits } from './integers.ts';

/** The minimum, maximum and mean of each channel of a layer's input over the tokens of calibration texts. */
export interface ChannelRanges {
  readonly minimum: Float32Array;
  readonly maximum: Float32Array;
  readonly mean: Float32Array;
}

/** How the input of one or more linear layers is quantized. */
export interface InputQuantization {
  /** The minimum of the quantized channels, after their division by `divisors`. */
  readonly minimum: number;
  readonly maximum: number;
  /**
   * The mean of each channel, before its division. The error that rounding the weights causes for this mean input is
   * subtracted from the bias (Nagel et al., 2019), because mean pooling would not average it out.
   */
  readonly mean: Float32Array;
  /**
   * The number by which each channel is divided before quantization, and by which its weights are multiplied
   * (SmoothQuant, Xiao et al., 2022).
   * @default no division
   */
  readonly divisors?: Float32Array | undefined;
  /**
   * Channels that stay in float32, because they are much larger than the others (LLM.int8(), Dettmers et al., 2022).
   * @default none
   */
  readonly floatChannels?: readonly number[] | undefined;
}

/** Which linear layers of an encoder are quantized, and how. */
export interface QuantizationPlan {
  /**
   * The number of bits of the weights. With 8 bits, the sum of two products overflows 16 bits on CPUs without VNNI or a
   * similar instruction set, which then give wrong results. With 7 bits it cannot overflow.
   */
  readonly weightBits: WeightBits;
  /** The quantization by the name of the input (see `LinearInput`). Layers with other inputs stay in float32. */
  readonly inputs: ReadonlyMap<string, InputQuantization>;
}

/** A candidate for the quantization of an input. */
export interface Remedy {
  /** The name for reports: `range`, `equalized 0.5`, `equalized 0.75` or `float32 channels`. */
  readonly name: string;
  readonly quantization: InputQuantization;
}

/** The migration strengths (α) of SmoothQuant: the value of its authors, and a larger one. */
const equalizations = [0.5, 0.75];

/**
 * A channel is an outlier if its largest absolute value is more than this number of times that of the median channel.
 */
const outlierFactor = 6;

/** The maximum share of channels that stay in float32. With more of them, the layer would be slower than in float32. */
const maxFloatChannels = 1 / 16;

/**
 * The candidates for the quantization of an input: first its plain range, then those that reduce the error for outlier
 * channels.
 * @param weights the largest absolute weight of each channel over all layers with this input
 */
export function remedies(ranges: ChannelRanges, weights: Float32Array): [Remedy, ...Remedy[]] {
  const extents = ranges.maximum.map((high, channel) => Math.max(high, -ranges.minimum[channel]!));
  const floatChannels = outliers(extents);
  return [
    { name: 'range', quantization: rangeOf(ranges) },
    ...equalizations.map((strength) => {
      const divisors = equalizingDivisors(extents, weights, strength);
      return { name: `equalized ${strength}`, quantization: { ...rangeOf(ranges, { divisors }), divisors } };
    }),
    ...(floatChannels.length === 0
      ? []
      : [
          {
            name: 'float32 channels',
            quantization: { ...rangeOf(ranges, { without: new Set(floatChannels) }), floatChannels },
          },
        ]),
  ];
}

function rangeOf(
  { minimum, maximum, mean }: ChannelRanges,
  { divisors, without }: { readonly divisors?: Float32Array; readonly without?: ReadonlySet<number> } = {},
): Pick<InputQuantization, 'minimum' | 'maximum' | 'mean'> {
  let [low, high] = [Infinity, -Infinity];
  for (let channel = 0; channel < minimum.length; channel += 1) {
    if (without?.has(channel)) continue;
    const divisor = divisors?.[channel] ?? 1;
    low = Math.min(low, minimum[channel]! / divisor);
    high = Math.max(high, maximum[channel]! / divisor);
  }
  return { minimum: low, maximum: high, mean };
}

/** The factors of SmoothQuant, `extent^strength / weight^(1 - strength)`, divided by their geometric mean. */
function equalizingDivisors(extents: Float32Array, weights: Float32Array, strength: number): Float32Array {
  const logarithms = extents.map((extent, channel) =>
    extent > 0 && weights[channel]! > 0
      ? strength * Math.log(extent) - (1 - strength) * Math.log(weights[channel]!)
      : NaN,
  );
  const known = logarithms.filter((each) => !Number.isNaN(each));
  const mean = known.reduce((sum, each) => sum + each, 0) / Math.max(1, known.length);
  return logarithms.map((each) => (Number.isNaN(each) ? 1 : Math.exp(each - mean)));
}

function outliers(extents: Float32Array): number[] {
  const median = extents.toSorted()[extents.length >> 1]!;
  const most = Math.floor(extents.length * maxFloatChannels);
  return [...extents.keys()]
    .filter((channel) => extents[channel]! > outlierFactor * median)
    .sort((a, b) => extents[b]! - extents[a]! || a - b)
    .slice(0, most)
    .sort((a, b) => a - b);
}
