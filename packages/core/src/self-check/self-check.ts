/** The check of a backend, when it has loaded a model: does it compute what the model says? */
import { applyHead, pooledRows } from '../projection/head.ts';
import { SentvecError } from '../errors.ts';
import type { Backend, Encoder } from '../backend.ts';
import type { SelfCheckResult, Head, Matrix, ModelFiles, TokenBatch, TokenEmbeddings, Tokenizer } from '../types.ts';
import { longText, selfCheckBatch, selfCheckIds, selfCheckText, shortestText, shortText } from './self-check-batch.ts';
import { readStoredSelfCheck, selfCheckFile, selfCheckFileOf, type SelfCheckValues } from './stored-self-check.ts';

/** What is checked, and with what. */
export interface SelfCheckSubject {
  readonly backend: Backend;
  readonly encoder: Encoder;
  /** Those of the encoder. */
  readonly files: ModelFiles;
  /** The result of `readStoredSelfCheck`, which reads them while the encoder is loaded. */
  readonly stored: Promise<SelfCheckValues | undefined>;
  readonly head: Head;
  readonly tokenizer: Tokenizer;
  readonly addSpecialTokens: boolean;
  /**
   * Whether tokens have types, as those of pairs: then the batches of the check have some, too.
   * @default false
   */
  readonly typed?: boolean | undefined;
  /** Number of token ids that the model has weights for, where that is known. */
  readonly vocabularySize: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onWarning?: ((message: string) => void) | undefined;
}

/**
 * Float32 on a CPU stays below 2e-6 on models of 2 to 6 layers; deep ones lose more. See docs/adr on the self-check.
 */
const defaultError = 5e-5;

/** A variant that the user chose may be quantized to 4 bits: only what has little to do with the model is refused. */
const variantError = 0.5;

/**
 * A variant that has values of its own gives them but for activations that rounding puts on the next byte: up to 0.016
 * of a token's vector was measured between two kinds of CPU. Sums that a CPU cuts off at 16 bits change more.
 */
const ownVariantError = 0.03;

/**
 * A mean and a dense layer cancel what their inputs have in common, but not their errors: of vectors of whole texts
 * more is allowed.
 */
const headFactor = 4;

/**
 * Lets a new encoder embed a few texts. One of them is compared with the values that the model folder holds, or else
 * with those that the backend's slow reference computes, the others with what they are alone: by the way that the
 * pipeline will take, so of whole texts where the backend pools itself, else of each token.
 * @returns what was found; `skipped` when there is nothing to compare with
 * @throws SentvecError `backend-wrong` when they differ by more than rounding explains; `invalid-model` for a broken
 * self-check
 */
export async function checkEncoder(subject: SelfCheckSubject): Promise<SelfCheckResult> {
  const started = performance.now();
  const { encoder, files, tokenizer } = subject;
  const own = await valuesOfVariant(subject);
  const stored = own ?? (await subject.stored);
  // Stored values are those of a text.
  if (stored !== undefined && subject.typed) return checkEncoder({ ...subject, typed: false });
  if (stored !== undefined) checkStored(subject, stored, own === undefined ? undefined : encoder.weightsFile);
  if (encoder.hiddenSize === 0) return checkScores(subject);
  const { maxPositions } = encoder;
  const length = await referenceLength(files);
  const ids = stored?.ids ?? (await selfCheckIds(tokenizer, { ...subject, maxPositions, length }));
  const reference = stored?.embeddings ?? (await computeReference(subject, ids));
  if ('reason' in reference) {
    await checkNumbers(subject, ids);
    return { state: 'skipped', reason: reference.reason };
  }
  const passed = async (values: SelfCheckValues, source: 'stored' | 'computed'): Promise<SelfCheckResult> => {
    const { difference, pooled } = await measure(subject, values);
    const tolerance = own === undefined ? toleranceOf(encoder, pooled) : ownVariantError;
    if (!(difference <= tolerance)) throw wrong(subject, difference, tolerance);
    return { state: 'passed', reference: source, difference, tolerance, milliseconds: performance.now() - started };
  };
  try {
    return await passed({ ids, embeddings: reference }, stored === undefined ? 'computed' : 'stored');
  } catch (error) {
    if (stored === undefined || own !== undefined || !SentvecError.is(error, 'backend-wrong')) throw error;
    // The folder may hold the self-check of other weights, such as those before a training.
    const computed = await computeReference(subject, ids);
    if ('reason' in computed) throw error;
    const result = await passed({ ids, embeddings: computed }, 'computed');
    subject.onWarning?.(
      `${selfCheckFile} of ${files.name} holds the values of other weights. Delete it, or export the model again.`,
    );
    return result;
  }
}

/** What the folder says that a file of weights which is not the standard one gives. */
async function valuesOfVariant({ encoder, files }: SelfCheckSubject): Promise<SelfCheckValues | undefined> {
  const { weightsFile } = encoder;
  if (weightsFile === undefined) return undefined;
  const file = selfCheckFileOf(weightsFile);
  return (await files.list()).includes(file) ? readStoredSelfCheck(files, file) : undefined;
}

/** Without anything to compare with, the vectors are at least numbers. @throws SentvecError `backend-wrong` */
async function checkNumbers(subject: SelfCheckSubject, ids: readonly number[]): Promise<void> {
  if (ids.length === 0) return;
  const { data } = await subject.encoder.encode(selfCheckText(ids, subject.typed), { signal: subject.signal });
  if (data.some((value) => !Number.isFinite(value))) throw wrong(subject, Infinity, Infinity);
}

/**
 * A file that gives nothing but scores cannot be compared: they are at least numbers. @throws SentvecError
 * `backend-wrong`
 */
async function checkScores(subject: SelfCheckSubject): Promise<SelfCheckResult> {
  const { encoder, head, files, tokenizer, signal } = subject;
  const ids = await selfCheckIds(tokenizer, { maxPositions: encoder.maxPositions });
  const scores = ids.length === 0 ? undefined : await encoder.encodePooled?.(selfCheckText(ids), head, { signal });
  if (scores?.data.some((value) => !Number.isFinite(value))) throw wrong(subject, Infinity, Infinity);
  return {
    state: 'skipped',
    reason: `The ONNX file of ${files.name} gives scores alone, which nothing here can compute in another way.`,
  };
}

/** Bytes of weights by which a reference takes some tenths of a second longer for the long text. */
const smallWeights = 2 ** 25;

/** Bytes of weights with which a reference takes seconds for each token. */
const largeWeights = 2 ** 29;

/** How many tokens of the text a reference computes: fewer for large weights, which take longer. */
async function referenceLength(files: ModelFiles): Promise<number> {
  if (files.size === undefined || !(await files.list()).includes('model.safetensors')) return shortText;
  const size = await files.size('model.safetensors');
  if (size <= smallWeights) return longText;
  return size <= largeWeights ? shortText : shortestText;
}

/** @throws SentvecError `invalid-model` when the values cannot be those of the model */
function checkStored(
  { files, encoder, vocabularySize = Infinity }: SelfCheckSubject,
  { ids, embeddings }: SelfCheckValues,
  weightsFile: string | undefined,
): void {
  const file = `${files.name}/${selfCheckFileOf(weightsFile)}`;
  const refuse = (what: string): never => {
    throw new SentvecError('invalid-model', `${file} ${what}. Delete it, or export the model again.`, { file });
  };
  if (ids.length > encoder.maxPositions)
    refuse(`has ${ids.length} token ids, where the model has positions for ${encoder.maxPositions}`);
  const unknown = ids.find((id) => id >= vocabularySize);
  if (unknown !== undefined) refuse(`has the token id ${unknown}, where the model has weights for ${vocabularySize}`);
  if (embeddings.cols !== encoder.hiddenSize)
    refuse(`has vectors of ${embeddings.cols} entries, where the encoder gives ${encoder.hiddenSize}`);
}

async function computeReference(
  { backend, files, typed }: SelfCheckSubject,
  ids: readonly number[],
): Promise<TokenEmbeddings | { readonly reason: string }> {
  if (ids.length === 0) return { reason: 'The tokenizer knows none of the self-check text.' };
  if (backend.reference !== undefined) return backend.reference(files, selfCheckText(ids, typed));
  return {
    reason: `${files.name} has no ${selfCheckFile}, and the backend ${backend.name} has no reference to compute one with.`,
  };
}

function toleranceOf({ weightsFile, roundingError = defaultError }: Encoder, pooled: boolean): number {
  if (weightsFile !== undefined) return variantError;
  return pooled ? roundingError * headFactor : roundingError;
}

/**
 * The largest difference of a vector, in lengths of that vector: of the known text from its values, wherever it stands
 * in a batch, and of the other texts from what they are alone. `Infinity` for anything but numbers.
 */
async function measure(
  { encoder, head, tokenizer, typed, signal }: SelfCheckSubject,
  { ids, embeddings }: SelfCheckValues,
): Promise<{ readonly difference: number; readonly pooled: boolean }> {
  const { batch, known, others } = selfCheckBatch(ids, tokenizer.paddingId, encoder.maxPositions, typed);
  const batches = [batch, ...others.map(({ alone }) => alone)];
  // There is no reference for vectors that the model's own file pools: there the token embeddings are compared.
  const pools = encoder.encodePooled !== undefined && head.pooling.graphOutput === undefined;
  const pooling = pools ? inTurn(batches, (each) => encoder.encodePooled!(each, head, { signal })) : undefined;
  // While the backend computes.
  const expecting = pooling && applyHead(head, embeddings, selfCheckText(ids, typed));
  const [vectors = [], expected = embeddings] = await Promise.all([pooling, expecting]);
  const pooled = isComplete(vectors);
  const [together, ...alone] = pooled ? vectors : await inTurn(batches, (each) => encoder.encode(each, { signal }));
  const firstRow = (row: number): number =>
    pooled ? pooledRows(head, batch.mask.subarray(0, row * batch.cols), row) : row * batch.cols;
  const errors = [
    ...known.map((row) => [row, pooled ? expected : embeddings] as const),
    ...others.map(({ row }, index) => [row, alone[index]!] as const),
  ].map(([row, wanted]) => largestError(rowsOf(together!, firstRow(row), wanted.rows), wanted));
  return { difference: Math.max(...errors), pooled };
}

/** One after the other: at once, they would make a backend open further sessions. */
async function inTurn<T>(batches: readonly TokenBatch[], encode: (batch: TokenBatch) => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  for (const batch of batches) results.push(await encode(batch));
  return results;
}

/** Whether the backend has pooled everything. */
function isComplete(vectors: readonly (Matrix | undefined)[]): vectors is readonly Matrix[] {
  return vectors.length > 0 && vectors.every((each) => each !== undefined);
}

function rowsOf({ data, cols }: Matrix, first: number, rows: number): Matrix {
  return { data: data.subarray(first * cols, (first + rows) * cols), rows, cols };
}

function largestError(found: Matrix, expected: Matrix): number {
  if (found.cols !== expected.cols || found.data.length !== expected.data.length) return Infinity;
  let largest = 0;
  for (let row = 0; row < expected.rows; row += 1) {
    let error = 0;
    let length = 0;
    for (let index = row * expected.cols; index < (row + 1) * expected.cols; index += 1) {
      error += (found.data[index]! - expected.data[index]!) ** 2;
      length += expected.data[index]! ** 2;
    }
    const relative = Math.sqrt(error / (length === 0 ? 1 : length));
    if (Number.isNaN(relative)) return Infinity;
    largest = Math.max(largest, relative);
  }
  return largest;
}

function wrong({ backend, encoder, files }: SelfCheckSubject, difference: number, tolerance: number): SentvecError {
  const { weightsFile } = encoder;
  const what = weightsFile === undefined ? files.name : `${files.name}/${weightsFile}`;
  const size = Number.isFinite(difference)
    ? `by ${difference.toExponential(1)} of a vector's length, where ${tolerance} is allowed`
    : 'beyond measure';
  const advice =
    weightsFile === undefined
      ? 'Choose another backend or device, or update its library and driver.'
      : 'Choose another variant of the model, or another backend or device.';
  return new SentvecError(
    'backend-wrong',
    `The backend ${backend.name} does not compute what ${what} says: the vectors of a known text differ ${size}. ${advice} ` +
      'With `selfCheck: false` it is used anyway.',
    {
      backend: backend.name,
      model: files.name,
      difference: Number.isFinite(difference) ? difference : null,
      tolerance,
    },
  );
}
