// The plan by which the linear layers of an encoder are quantized: the decision for each input, and its basis.
import type { WeightBits } from './integers.ts';

/** The smallest, largest and mean value of each channel of a layer's input, over the tokens of some texts. */
export interface ChannelRanges {
  readonly minimum: Float32Array;
  readonly maximum: Float32Array;
  readonly mean: Float32Array;
}

/** How the input of one or more linear layers is quantized. */
export interface InputQuantization {
  /** Of the channels that are quantized, after their division. */
  readonly minimum: number;
  readonly maximum: number;
  /**
   * Of each channel, before its division. What rounding the weights changes for this input is taken off the bias (Nagel
   * et al., 2019): the mean of a text's tokens would not even it out.
   */
  readonly mean: Float32Array;
  /**
   * What each channel is divided by before it is quantized, and the weights multiplied with (SmoothQuant, Xiao et al.,
   * 2022).
   * @default nothing
   */
  readonly divisors?: Float32Array | undefined;
  /**
   * Channels that are multiplied in float32, because they are far larger than the others (LLM.int8, Dettmers et al.,
   * 2022).
   * @default none
   */
  readonly floatChannels?: readonly number[] | undefined;
}

/** Which linear layers of an encoder are quantized, and how. */
export interface QuantizationPlan {
  /**
   * Bits of the weights. With 8, the sum of two products overflows 16 bits on CPUs without VNNI or the like, which then
   * compute wrongly. With 7 it does not, on any.
   */
  readonly weightBits: WeightBits;
  /** By the name of the input; see `LinearInput`. Layers whose input is not among them stay in float32. */
  readonly inputs: ReadonlyMap<string, InputQuantization>;
}

/** A way to quantize an input. */
export interface Remedy {
  /** For people: `range`, `equalized 0.5`, `float32 channels`. */
  readonly name: string;
  readonly quantization: InputQuantization;
}

/** By how much of the ratio between channels SmoothQuant evens them out: its authors' value, and a stronger one. */
const equalizations = [0.5, 0.75];

/** A channel that reaches this many times as far as the median one is far larger than the others. */
const outlierFactor = 6;

/** At most this share of the channels is multiplied in float32: more would cost more than int8 gains. */
const maxFloatChannels = 1 / 16;

/**
 * The ways to quantize an input: by its range as it is, first, then those that help against channels which are far
 * larger than the others.
 * @param weights the largest absolute weight of each channel, over all layers that have the input
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

/** SmoothQuant's factors, `extent^strength / weight^(1 - strength)`, less what all have in common. */
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
