// Quantizes the encoder of a model, and refines the quantization until the vectors are close enough to float32.
import {
  readEncoder,
  recordCompactEncoder,
  recordQuantizedEncoder,
  type EncoderDefinition,
  type QuantizationPlan,
  type Remedy,
} from '@sentvec/architectures';
import {
  encodeSelfCheck,
  readModelFolder,
  selfCheckIds,
  selfCheckText,
  SentvecError,
  throwIfAborted,
  type Embedder,
  type Matrix,
  type ModelFiles,
  type ModelFolder,
} from '@sentvec/core';
import { loadEmbedder } from '@sentvec/core/node';
import { onnx } from '../backend.ts';
import { multipliesBytesExactly } from './byte-products.ts';
import { chooseRemedies, measureRanges, planInputs, defaultQuantization, defaultRemedy } from './calibrate.ts';
import type { Observation } from './observe-encoder.ts';
import { embedWithCandidate, loadCandidate, vectorsOf, type Candidate } from './candidate.ts';
import {
  checkQuantizeOptions,
  type ModelPrecision,
  type QuantizationSettings,
  type QuantizeModelOptions,
} from './options.ts';
import { compareVectors, reaches, type QuantizationQuality } from './quality.ts';
import { sampleTexts } from './sample-texts.ts';

/** A quantization that was tried. */
export interface QuantizationAttempt {
  /** A description, for example `all layers, with remedies`. */
  readonly description: string;
  readonly quality: QuantizationQuality;
  /** Whether the quality meets {@link QuantizeModelOptions.bar}. */
  readonly reached: boolean;
}

/** A quantized encoder with a report of its measurements. */
export interface QuantizedModel {
  /** The name of the ONNX file without its extension, for the option `variant` of a backend, such as `model_int8`. */
  readonly variant: string;
  /** The content of the ONNX file `onnx/VARIANT.onnx`. */
  readonly bytes: Uint8Array;
  /**
   * The content of `onnx/VARIANT.self-check.json`, with which backends are checked when they load the ONNX file;
   * `undefined` for a tokenizer that has no token of the self-check text.
   */
  readonly selfCheck: string | undefined;
  /** The plan with which `recordQuantizedEncoder` makes the same file; only for `int8`. */
  readonly plan: QuantizationPlan | undefined;
  readonly report: QuantizationReport;
}

/** The measurements of a quantized encoder. */
export interface QuantizationReport {
  readonly precision: ModelPrecision;
  /** The number of bits of the weights; only for `int8`. */
  readonly weightBits: 7 | 8 | undefined;
  /** The sizes in bytes of the weights in float32 and of the quantized file. */
  readonly bytes: { readonly float32: number; readonly quantized: number };
  /** The throughput in texts per second divided by that in float32, on this machine and for the held-out texts. */
  readonly speedup: number;
  /** The quality for the held-out texts. */
  readonly quality: QuantizationQuality;
  /** The numbers of texts for calibration and of held-out texts. */
  readonly texts: { readonly calibration: number; readonly heldOut: number };
  /** All quantizations that were tried, in order. The result is the last one with `reached: true`. */
  readonly attempts: readonly QuantizationAttempt[];
  /** The names of inputs of linear layers that stayed in float32. */
  readonly float32Inputs: readonly string[];
  /** The remedies for inputs of linear layers with large channels, by the name of the input. */
  readonly remedies: Readonly<Record<string, string>>;
}

/** The file names by precision, which follow the conventions of other libraries. */
const variants: Readonly<Record<ModelPrecision, string>> = {
  int8: 'model_int8',
  'int8-weights': 'model_int8_weights',
  float16: 'model_fp16',
};

/**
 * Quantizes the encoder of a model to a smaller ONNX file, and compares its vectors for held-out texts with those in
 * float32. If the quality of `int8` is too low, it applies remedies for channels that are much larger than the others
 * (Xiao et al., 2022; Dettmers et al., 2022), and then keeps as few layers as possible in float32, those with the
 * largest error first.
 * @throws SentvecError `invalid-argument`; `unsupported-model` if the minimum quality cannot be reached, or for a model
 * without a supported architecture; `invalid-model`, `aborted`
 */
export async function quantizeModel(model: ModelFiles, options: QuantizeModelOptions = {}): Promise<QuantizedModel> {
  const checked = checkQuantizeOptions(options, sampleTexts);
  throwIfAborted(options.signal);
  const folder = await readModelFolder(model);
  refuseUnsupported(model, folder);
  const definition = await readEncoder(folder.encoderFiles);
  const weightBits = checked.weightBits ?? ((await multipliesBytesExactly()) ? 8 : 7);
  const settings = { ...checked, weightBits };
  const original = await loadEmbedder(model, { backend: onnx(), signal: options.signal, onWarning: () => {} });
  try {
    const expected = await vectorsOf(original, settings.heldOut, options.signal);
    const quantization = new Quantization({ model, folder, definition }, settings, options, expected);
    const { bytes, attempt, chosen, kept } = await quantization.search();
    const { variant, ...candidate } = quantization.candidate(bytes);
    const quantized = await loadCandidate({ ...candidate, variant }, options.signal);
    try {
      options.onProgress?.({ step: 'Comparing speeds', done: 0, total: 1 });
      return {
        variant,
        bytes,
        selfCheck: await selfCheckOf(quantized, folder),
        plan: settings.precision === 'int8' ? { weightBits, inputs: planInputs(chosen, new Set(kept)) } : undefined,
        report: {
          precision: settings.precision,
          weightBits: settings.precision === 'int8' ? weightBits : undefined,
          bytes: { float32: float32Bytes(definition), quantized: bytes.length },
          speedup: await measureSpeedup(original, quantized, settings.heldOut, options.signal),
          quality: attempt.quality,
          texts: { calibration: settings.calibration.length, heldOut: settings.heldOut.length },
          attempts: quantization.attempts,
          float32Inputs: kept,
          remedies: remediesOf(chosen, kept),
        },
      };
    } finally {
      await quantized.dispose();
    }
  } finally {
    await original.dispose();
  }
}

function remediesOf(chosen: ReadonlyMap<string, Remedy>, kept: readonly string[]): Record<string, string> {
  const helped = [...chosen].filter(([input, { name }]) => name !== defaultRemedy && !kept.includes(input));
  return Object.fromEntries(helped.map(([input, { name }]) => [input, name]));
}

function refuseUnsupported({ name }: ModelFiles, { encoder, route, encoderPath }: ModelFolder): void {
  const refuse = (message: string): never => {
    throw new SentvecError('unsupported-model', message, { file: name });
  };
  if (encoder === 'static')
    refuse(`${name} has static embeddings and no linear layers, so there is nothing to quantize.`);
  if (route !== undefined)
    refuse(`${name} has several routes. Quantize the folder of one route, for example ${encoderPath}.`);
}

/** Which linear layers of an encoder are quantized, and how. */
interface LayerChoice {
  readonly description: string;
  readonly chosen: ReadonlyMap<string, Remedy>;
  /** Inputs that stay in float32. */
  readonly kept: readonly string[];
}

/** A quantization that was tried, with its file. */
interface TriedQuantization extends LayerChoice {
  readonly bytes: Uint8Array;
  readonly attempt: QuantizationAttempt;
}

type Settings = QuantizationSettings & { readonly weightBits: 7 | 8 };

/** One call of {@link quantizeModel}. */
class Quantization {
  readonly #model: ModelFiles;
  readonly #folder: ModelFolder;
  readonly #definition: EncoderDefinition;
  readonly #settings: Settings;
  readonly #options: QuantizeModelOptions;
  /** The vectors of the held-out texts in float32. */
  readonly #expected: Matrix;
  readonly #attempts: QuantizationAttempt[] = [];

  constructor(
    source: { readonly model: ModelFiles; readonly folder: ModelFolder; readonly definition: EncoderDefinition },
    settings: Settings,
    options: QuantizeModelOptions,
    expected: Matrix,
  ) {
    this.#model = source.model;
    this.#folder = source.folder;
    this.#definition = source.definition;
    this.#settings = settings;
    this.#options = options;
    this.#expected = expected;
  }

  /**
   * The first quantization with the minimum quality.
   * @throws SentvecError `unsupported-model` if there is none
   */
  async search(): Promise<TriedQuantization> {
    const { precision, weightBits } = this.#settings;
    if (precision !== 'int8') {
      const bytes = recordCompactEncoder(this.#definition, precision === 'int8-weights' ? 'int8' : 'float16');
      const tried = await this.#try({ description: `all weights as ${precision}`, chosen: new Map(), kept: [] }, bytes);
      return tried.attempt.reached ? tried : this.#refuse();
    }
    const inputs = await measureRanges(this.#observation('Measuring the ranges of activations'));
    if (inputs.length === 0) {
      const message = `${this.#model.name} has no linear layers, which are the only layers that int8 quantizes. Use the precision int8-weights.`;
      throw new SentvecError('unsupported-model', message, { file: this.#model.name });
    }
    const allLayers = await this.#try({ description: 'all layers', chosen: defaultQuantization(inputs), kept: [] });
    if (allLayers.attempt.reached) return allLayers;
    const chosen = await chooseRemedies(inputs, weightBits, this.#observation('Trying remedies for large channels'));
    const remedied = await this.#try({ description: 'all layers, with remedies', chosen, kept: [] });
    return remedied.attempt.reached ? remedied : this.#keepLayers(chosen);
  }

  get attempts(): readonly QuantizationAttempt[] {
    return this.#attempts;
  }

  candidate(bytes: Uint8Array): Candidate {
    const variant = variants[this.#settings.precision];
    return { model: this.#model, encoderPath: this.#folder.encoderPath, variant, bytes };
  }

  /** Keeps the inputs with the largest error in float32. A binary search finds the smallest number of them. */
  async #keepLayers(chosen: ReadonlyMap<string, Remedy>): Promise<TriedQuantization> {
    const order = await this.#byImprovement(chosen);
    const tryWithout = (count: number): Promise<TriedQuantization> =>
      this.#try({
        description: `${count} of ${order.length} inputs in float32, with remedies`,
        chosen,
        kept: order.slice(0, count),
      });
    let best = await tryWithout(order.length);
    if (!best.attempt.reached) return this.#refuse();
    let [tooFew, enough] = [0, order.length];
    while (enough - tooFew > 1) {
      const tried = await tryWithout((tooFew + enough) >> 1);
      if (tried.attempt.reached) [best, enough] = [tried, tried.kept.length];
      else tooFew = tried.kept.length;
    }
    return best;
  }

  /** The inputs sorted by how much the quality improves if they stay in float32, the best first. */
  async #byImprovement(chosen: ReadonlyMap<string, Remedy>): Promise<string[]> {
    const found: { readonly name: string; readonly cosine: number }[] = [];
    for (const name of chosen.keys()) {
      this.#step('Finding the layers with the largest error', found.length, chosen.size);
      const { meanCosine } = await this.#measure(this.#record(chosen, [name]));
      found.push({ name, cosine: meanCosine });
    }
    return found.toSorted((a, b) => b.cosine - a.cosine).map(({ name }) => name);
  }

  #record(chosen: ReadonlyMap<string, Remedy>, kept: readonly string[]): Uint8Array {
    const inputs = planInputs(chosen, new Set(kept));
    return recordQuantizedEncoder(this.#definition, { weightBits: this.#settings.weightBits, inputs });
  }

  async #try(
    choice: LayerChoice,
    bytes: Uint8Array = this.#record(choice.chosen, choice.kept),
  ): Promise<TriedQuantization> {
    this.#step(`Measuring the quality: ${choice.description}`, 0, 1);
    const quality = await this.#measure(bytes);
    const reached = reaches(quality, this.#settings.bar);
    const attempt = { description: choice.description, quality, reached };
    this.#attempts.push(attempt);
    return { ...choice, bytes, attempt };
  }

  async #measure(bytes: Uint8Array): Promise<QuantizationQuality> {
    const { heldOut } = this.#settings;
    throwIfAborted(this.#options.signal);
    return compareVectors(
      this.#expected,
      await embedWithCandidate(this.candidate(bytes), heldOut, this.#options.signal),
    );
  }

  #observation(step: string): Observation {
    const { calibration: texts } = this.#settings;
    const onProgress = (done: number): void => this.#step(step, done, texts.length);
    return { model: this.#model, definition: this.#definition, texts, signal: this.#options.signal, onProgress };
  }

  #step(step: string, done: number, total: number): void {
    this.#options.onProgress?.({ step, done, total });
  }

  #refuse(): never {
    const { bar, precision } = this.#settings;
    const { meanCosine, minimumCosine, rankCorrelation } = this.#attempts.at(-1)!.quality;
    throw new SentvecError(
      'unsupported-model',
      `${this.#model.name} as ${precision} does not reach the minimum quality: with ${this.#attempts.at(-1)!.description}, the mean cosine similarity with float32 ` +
        `is ${meanCosine.toFixed(5)} (minimum: ${bar.meanCosine}), the lowest ${minimumCosine.toFixed(5)} (minimum: ${bar.minimumCosine}), and the rank correlation ` +
        `${(1 - rankCorrelation).toExponential(1)} less than 1 (maximum: ${bar.rankLoss}). Use another precision or a lower bar.`,
      { attempts: this.#attempts.length },
    );
  }
}

/** The size of the weights of an encoder in float32, in bytes. */
function float32Bytes({ weights }: EncoderDefinition): number {
  return [...weights.values()].reduce((sum, shape) => sum + 4 * shape.reduce((product, size) => product * size, 1), 0);
}

/** The number of measurements for the comparison of speeds. */
const timings = 3;

/** The ratio of the throughputs, each by its fastest measurement. */
async function measureSpeedup(
  original: Embedder,
  quantized: Embedder,
  texts: readonly string[],
  signal: AbortSignal | undefined,
): Promise<number> {
  const best = [Infinity, Infinity];
  for (let turn = 0; turn < timings; turn += 1) {
    for (const [index, embedder] of [original, quantized].entries()) {
      const started = performance.now();
      await embedder.embed(texts, { signal });
      best[index] = Math.min(best[index]!, performance.now() - started);
    }
  }
  return best[0]! / best[1]!;
}

/** The self-check of a quantized encoder: the values that it computes for the self-check text on this machine. */
async function selfCheckOf(
  { encoder, tokenizer }: Embedder,
  { addSpecialTokens }: ModelFolder,
): Promise<string | undefined> {
  const ids = await selfCheckIds(tokenizer, { addSpecialTokens, maxPositions: encoder.maxPositions });
  if (ids.length === 0) return undefined;
  return encodeSelfCheck({ ids, embeddings: await encoder.encode(selfCheckText(ids)) });
}
