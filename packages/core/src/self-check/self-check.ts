/** The self-check: checks that a backend computes the right vectors for a model that it has just loaded. */
import { applyHead, pooledRows } from '../projection/head.ts';
import { SentvecError } from '../errors.ts';
import type { Backend, Encoder } from '../backend.ts';
import type { SelfCheckResult, Head, Matrix, ModelFiles, TokenBatch, TokenEmbeddings, Tokenizer } from '../types.ts';
import { longText, selfCheckBatch, selfCheckIds, selfCheckText, shortestText, shortText } from './self-check-batch.ts';
import { readStoredSelfCheck, selfCheckFile, selfCheckFileOf, type SelfCheckValues } from './stored-self-check.ts';

/** The encoder to check, and everything that the check needs. */
export interface SelfCheckSubject {
  readonly backend: Backend;
  readonly encoder: Encoder;
  /** The files of the encoder. */
  readonly files: ModelFiles;
  /** The result of `readStoredSelfCheck`, which is read while the encoder is loading. */
  readonly stored: Promise<SelfCheckValues | undefined>;
  readonly head: Head;
  readonly tokenizer: Tokenizer;
  readonly addSpecialTokens: boolean;
  /**
   * Whether the model's inputs have type ids, as pairs of texts do; the batches of the check then have type ids, too.
   * @default false
   */
  readonly usesTypeIds?: boolean | undefined;
  /** Number of token ids that the model has embeddings for, if known. */
  readonly vocabularySize: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onWarning?: ((message: string) => void) | undefined;
}

/**
 * The tolerance unless the encoder states its rounding error. In float32 on a CPU, errors stay below 2e-6 for models
 * with 2 to 6 layers; deeper models have larger ones. See docs/adr on the self-check.
 */
const defaultError = 5e-5;

/**
 * Tolerance for a variant that the user chose, which may be quantized to 4 bits: only vectors that have little to do
 * with the model are refused.
 */
const variantError = 0.5;

/**
 * Tolerance for a variant with its own stored values. Rounding can move a quantized activation to the next step:
 * between two CPU models, differences of up to 0.016 of a vector's length were measured. CPUs whose int8 sums saturate
 * at 16 bits differ more, and are refused.
 */
const ownVariantError = 0.03;

/**
 * Factor of the tolerance for vectors of whole texts: pooling and dense layers cancel what their inputs have in common,
 * but not their errors, so relative errors grow.
 */
const headFactor = 4;

/**
 * Encodes a few texts in a batch. The known text is compared with the values stored in the model folder or, without
 * them, with those of the backend's slow reference; each other text is compared with its own result in a batch of its
 * own. The check uses the same method as the pipeline will: pooled vectors if the backend pools, otherwise token
 * embeddings.
 * @returns the result; its state is `skipped` when there is nothing to compare with
 * @throws SentvecError `backend-wrong` when vectors differ by more than the tolerance; `invalid-model` for a damaged
 * stored self-check
 */
export async function checkEncoder(subject: SelfCheckSubject): Promise<SelfCheckResult> {
  const started = performance.now();
  const { encoder, files, tokenizer } = subject;
  const own = await valuesOfVariant(subject);
  const stored = own ?? (await subject.stored);
  // Stored values belong to a single text, not to a pair.
  if (stored !== undefined && subject.usesTypeIds) return checkEncoder({ ...subject, usesTypeIds: false });
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
    if (!(difference <= tolerance)) throw wrongVectorsError(subject, difference, tolerance);
    return { state: 'passed', reference: source, difference, tolerance, milliseconds: performance.now() - started };
  };
  try {
    return await passed({ ids, embeddings: reference }, stored === undefined ? 'computed' : 'stored');
  } catch (error) {
    if (stored === undefined || own !== undefined || !SentvecError.is(error, 'backend-wrong')) throw error;
    // The stored self-check may belong to other weights, such as those before fine-tuning.
    const computed = await computeReference(subject, ids);
    if ('reason' in computed) throw error;
    const result = await passed({ ids, embeddings: computed }, 'computed');
    subject.onWarning?.(
      `${selfCheckFile} of ${files.name} contains the values of other weights. Delete it, or export the model again.`,
    );
    return result;
  }
}

/** The stored values for a weights file that is not the standard one. */
async function valuesOfVariant({ encoder, files }: SelfCheckSubject): Promise<SelfCheckValues | undefined> {
  const { weightsFile } = encoder;
  if (weightsFile === undefined) return undefined;
  const file = selfCheckFileOf(weightsFile);
  return (await files.list()).includes(file) ? readStoredSelfCheck(files, file) : undefined;
}

/**
 * Without expected values, checks only that the vectors are finite numbers.
 * @throws SentvecError `backend-wrong`
 */
async function checkNumbers(subject: SelfCheckSubject, ids: readonly number[]): Promise<void> {
  if (ids.length === 0) return;
  const { data } = await subject.encoder.encode(selfCheckText(ids, subject.usesTypeIds), { signal: subject.signal });
  if (data.some((value) => !Number.isFinite(value))) throw wrongVectorsError(subject, Infinity, Infinity);
}

/**
 * For an ONNX file that outputs only scores, checks only that they are finite numbers.
 * @throws SentvecError `backend-wrong`
 */
async function checkScores(subject: SelfCheckSubject): Promise<SelfCheckResult> {
  const { encoder, head, files, tokenizer, signal } = subject;
  const ids = await selfCheckIds(tokenizer, { maxPositions: encoder.maxPositions });
  const scores = ids.length === 0 ? undefined : await encoder.encodePooled?.(selfCheckText(ids), head, { signal });
  if (scores?.data.some((value) => !Number.isFinite(value))) throw wrongVectorsError(subject, Infinity, Infinity);
  return {
    state: 'skipped',
    reason: `The ONNX file of ${files.name} outputs only scores, for which there is no independent reference.`,
  };
}

/** Size in bytes up to which the reference takes only some tenths of a second for the long text. */
const smallWeights = 2 ** 25;

/** Size in bytes from which the reference takes seconds for each token. */
const largeWeights = 2 ** 29;

/**
 * Number of tokens of the known text that the reference computes: fewer for larger weights, since these take longer.
 */
async function referenceLength(files: ModelFiles): Promise<number> {
  if (files.size === undefined || !(await files.list()).includes('model.safetensors')) return shortText;
  const size = await files.size('model.safetensors');
  if (size <= smallWeights) return longText;
  return size <= largeWeights ? shortText : shortestText;
}

/** @throws SentvecError `invalid-model` when the values cannot belong to the model */
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
    refuse(`has ${ids.length} token ids, but the model has positions for ${encoder.maxPositions}`);
  const unknown = ids.find((id) => id >= vocabularySize);
  if (unknown !== undefined)
    refuse(`has the token id ${unknown}, but the model has embeddings for ${vocabularySize} ids`);
  if (embeddings.cols !== encoder.hiddenSize)
    refuse(`has vectors of ${embeddings.cols} entries, but those of the encoder have ${encoder.hiddenSize}`);
}

async function computeReference(
  { backend, files, usesTypeIds }: SelfCheckSubject,
  ids: readonly number[],
): Promise<TokenEmbeddings | { readonly reason: string }> {
  if (ids.length === 0) return { reason: 'The tokenizer gives no token for the text of the self-check.' };
  if (backend.reference !== undefined) return backend.reference(files, selfCheckText(ids, usesTypeIds));
  return {
    reason: `${files.name} has no ${selfCheckFile}, and the backend ${backend.name} has no reference implementation.`,
  };
}

function toleranceOf({ weightsFile, roundingError = defaultError }: Encoder, pooled: boolean): number {
  if (weightsFile !== undefined) return variantError;
  return pooled ? roundingError * headFactor : roundingError;
}

/**
 * The largest error of a vector relative to its length: for each row of the known text compared with its expected
 * values, and for each other row compared with its text in a batch of its own. `Infinity` for NaN or infinity.
 */
async function measure(
  { encoder, head, tokenizer, usesTypeIds, signal }: SelfCheckSubject,
  { ids, embeddings }: SelfCheckValues,
): Promise<{ readonly difference: number; readonly pooled: boolean }> {
  const { batch, known, others } = selfCheckBatch(ids, tokenizer.paddingId, encoder.maxPositions, usesTypeIds);
  const batches = [batch, ...others.map(({ alone }) => alone)];
  // There is no reference for vectors that the model's own graph pools, so the token embeddings are compared instead.
  const pools = encoder.encodePooled !== undefined && head.pooling.graphOutput === undefined;
  const pooling = pools ? inSequence(batches, (each) => encoder.encodePooled!(each, head, { signal })) : undefined;
  // Runs on this thread while the backend computes.
  const expecting = pooling && applyHead(head, embeddings, selfCheckText(ids, usesTypeIds));
  const [vectors = [], expected = embeddings] = await Promise.all([pooling, expecting]);
  const pooled = isComplete(vectors);
  const [together, ...alone] = pooled ? vectors : await inSequence(batches, (each) => encoder.encode(each, { signal }));
  const firstRow = (row: number): number =>
    pooled ? pooledRows(head, batch.mask.subarray(0, row * batch.cols), row) : row * batch.cols;
  const errors = [
    ...known.map((row) => [row, pooled ? expected : embeddings] as const),
    ...others.map(({ row }, index) => [row, alone[index]!] as const),
  ].map(([row, wanted]) => largestError(rowsOf(together!, firstRow(row), wanted.rows), wanted));
  return { difference: Math.max(...errors), pooled };
}

/** Encodes batches one after the other: concurrent calls would make a backend open more sessions. */
async function inSequence<T>(batches: readonly TokenBatch[], encode: (batch: TokenBatch) => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  for (const batch of batches) results.push(await encode(batch));
  return results;
}

/** Whether the backend pooled all of the batches. */
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

function wrongVectorsError(
  { backend, encoder, files }: SelfCheckSubject,
  difference: number,
  tolerance: number,
): SentvecError {
  const { weightsFile } = encoder;
  const what = weightsFile === undefined ? files.name : `${files.name}/${weightsFile}`;
  const size = Number.isFinite(difference)
    ? `by ${difference.toExponential(1)} of a vector's length; the tolerance is ${tolerance}`
    : 'because they are not finite numbers';
  const advice =
    weightsFile === undefined
      ? 'Choose another backend or device, or update its library and driver.'
      : 'Choose another variant of the model, or another backend or device.';
  return new SentvecError(
    'backend-wrong',
    `The backend ${backend.name} computes wrong vectors for ${what}: those of a known text differ ${size}. ${advice} ` +
      'With `selfCheck: false` the backend is used without this check.',
    {
      backend: backend.name,
      model: files.name,
      difference: Number.isFinite(difference) ? difference : null,
      tolerance,
    },
  );
}
