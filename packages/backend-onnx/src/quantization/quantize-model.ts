// Makes a quantized encoder of a model, and refines it until its vectors are near enough to those in float32.
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

/** A form of the model that was tried. */
export interface QuantizationAttempt {
  /** What is quantized, and how: `all layers by their range`, say. */
  readonly description: string;
  readonly quality: QuantizationQuality;
  /** Whether it reaches the bar. */
  readonly reached: boolean;
}

/** A quantized encoder, and what was measured of it. */
export interface QuantizedModel {
  /** Name of the ONNX file without its ending, for the option `variant` of a backend: `model_int8`. */
  readonly variant: string;
  /** The ONNX file, for `onnx/VARIANT.onnx`. */
  readonly bytes: Uint8Array;
  /** For `onnx/VARIANT.self-check.json`, by which backends are checked when they load the file. */
  readonly selfCheck: string | undefined;
  /** How the linear layers of `int8` are quantized: `recordQuantizedEncoder` makes the same file from it. */
  readonly plan: QuantizationPlan | undefined;
  readonly report: QuantizationReport;
}

/** What was measured of a quantized encoder. */
export interface QuantizationReport {
  readonly precision: ModelPrecision;
  /** Of its weights, where products are of bytes. */
  readonly weightBits: 7 | 8 | undefined;
  /** Of the encoder in float32 and quantized. */
  readonly bytes: { readonly float32: number; readonly quantized: number };
  /** Times as many texts a second as in float32, on this machine, over the texts that were held out. */
  readonly speedup: number;
  /** On the texts that were held out. */
  readonly quality: QuantizationQuality;
  /** How many texts ranges were measured on, and how many were held out. */
  readonly texts: { readonly calibration: number; readonly heldOut: number };
  /** All forms that were tried, in order. The one that was taken is the last that `reached` the bar. */
  readonly attempts: readonly QuantizationAttempt[];
  /** Inputs of linear layers that stayed in float32. */
  readonly float32Inputs: readonly string[];
  /** Inputs of linear layers that needed more than their range, and what helped. */
  readonly remedies: Readonly<Record<string, string>>;
}

/** File names of the precisions, as other libraries have them where they have such files. */
const variants: Readonly<Record<ModelPrecision, string>> = {
  int8: 'model_int8',
  'int8-weights': 'model_int8_weights',
  float16: 'model_fp16',
};

/**
 * Makes an ONNX file of a model's encoder in fewer bytes, and measures on texts that were held out how near its vectors
 * are to those in float32. With `int8`, where that is not near enough, it tries what is known to help against channels
 * that are far larger than the others (Xiao et al., 2022; Dettmers et al., 2022), then keeps the layers that hurt most in
 * float32, as few as it takes.
 * @throws SentvecError `invalid-argument`; `unsupported-model` when the bar cannot be reached, or for a model without
 * an encoder that sentvec records; `invalid-model`, `aborted`
 */
export async function quantizeModel(model: ModelFiles, options: QuantizeModelOptions = {}): Promise<QuantizedModel> {
  const checked = checkQuantizeOptions(options, sampleTexts);
  throwIfAborted(options.signal);
  const folder = await readModelFolder(model);
  refuseOthers(model, folder);
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

function refuseOthers({ name }: ModelFiles, { encoder, route, encoderPath }: ModelFolder): void {
  const refuse = (message: string): never => {
    throw new SentvecError('unsupported-model', message, { file: name });
  };
  if (encoder === 'static')
    refuse(`${name} has static embeddings, which no layers compute: there is nothing to quantize.`);
  if (route !== undefined)
    refuse(
      `${name} has several routes, and is quantized by its encoder. Quantize the folder of a route, ${encoderPath} say.`,
    );
}

/** What is quantized of an encoder's linear layers. */
interface LayerChoice {
  readonly description: string;
  readonly chosen: ReadonlyMap<string, Remedy>;
  /** Inputs that stay in float32. */
  readonly kept: readonly string[];
}

/** A form that was tried, and its file. */
interface Tried extends LayerChoice {
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

  /** The first form that reaches the bar. @throws SentvecError `unsupported-model` when none does */
  async search(): Promise<Tried> {
    const { precision, weightBits } = this.#settings;
    if (precision !== 'int8') {
      const bytes = recordCompactEncoder(this.#definition, precision === 'int8-weights' ? 'int8' : 'float16');
      const tried = await this.#try({ description: `all weights as ${precision}`, chosen: new Map(), kept: [] }, bytes);
      return tried.attempt.reached ? tried : this.#refuse();
    }
    const inputs = await measureRanges(this.#observation('Measuring the ranges of activations'));
    if (inputs.length === 0) {
      const message = `${this.#model.name} has no linear layers, the only ones that are computed in int8. Take the precision int8-weights.`;
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

  /** Keeps those inputs in float32 that hurt most, as few as it takes: found by halving. */
  async #keepLayers(chosen: ReadonlyMap<string, Remedy>): Promise<Tried> {
    const order = await this.#byHarm(chosen);
    const tryWithout = (count: number): Promise<Tried> =>
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

  /** The inputs, first the one that helps most when it stays in float32. */
  async #byHarm(chosen: ReadonlyMap<string, Remedy>): Promise<string[]> {
    const found: { readonly name: string; readonly cosine: number }[] = [];
    for (const name of chosen.keys()) {
      this.#step('Finding the layers that hurt', found.length, chosen.size);
      const { meanCosine } = await this.#measure(this.#record(chosen, [name]));
      found.push({ name, cosine: meanCosine });
    }
    return found.toSorted((a, b) => b.cosine - a.cosine).map(({ name }) => name);
  }

  #record(chosen: ReadonlyMap<string, Remedy>, kept: readonly string[]): Uint8Array {
    const inputs = planInputs(chosen, new Set(kept));
    return recordQuantizedEncoder(this.#definition, { weightBits: this.#settings.weightBits, inputs });
  }

  async #try(choice: LayerChoice, bytes: Uint8Array = this.#record(choice.chosen, choice.kept)): Promise<Tried> {
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
      `${this.#model.name} as ${precision} does not reach the bar: with ${this.#attempts.at(-1)!.description}, the mean cosine with float32 ` +
        `is ${meanCosine.toFixed(5)} (wanted: ${bar.meanCosine}), the least ${minimumCosine.toFixed(5)} (${bar.minimumCosine}), and the rank correlation ` +
        `${(1 - rankCorrelation).toExponential(1)} less than 1 (${bar.rankLoss}). Take another precision, or a lower bar.`,
      { attempts: this.#attempts.length },
    );
  }
}

/** Bytes of an encoder's weights in float32. */
function float32Bytes({ weights }: EncoderDefinition): number {
  return [...weights.values()].reduce((sum, shape) => sum + 4 * shape.reduce((product, size) => product * size, 1), 0);
}

/** How often texts are embedded to compare speeds. */
const timings = 3;

/** Times as many texts a second, by the better of some turns each. */
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

/** What the file gives for the text of the self-check, on this machine. */
async function selfCheckOf(
  { encoder, tokenizer }: Embedder,
  { addSpecialTokens }: ModelFolder,
): Promise<string | undefined> {
  const ids = await selfCheckIds(tokenizer, { addSpecialTokens, maxPositions: encoder.maxPositions });
  if (ids.length === 0) return undefined;
  return encodeSelfCheck({ ids, embeddings: await encoder.encode(selfCheckText(ids)) });
}
