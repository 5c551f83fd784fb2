// The built-in poolings (`cls`, `max`, `mean`, `mean_sqrt_len_tokens`, `weightedmean`, `lasttoken`).
import { SentvecError } from '../errors.ts';
import type { Matrix, Pooling, PoolingMode, TokenBatch, TokenEmbeddings } from '../types.ts';

/**
 * All built-in modes, in the order in which sentence-transformers concatenates the results of its older boolean
 * settings.
 */
export const poolingModes: readonly PoolingMode[] = [
  'cls',
  'max',
  'mean',
  'mean_sqrt_len_tokens',
  'weightedmean',
  'lasttoken',
];

/**
 * Creates a built-in pooling with one mode, or with several modes whose results are concatenated. Only tokens with mask
 * 1 are pooled, on whichever side the padding is; a text without such tokens gives zeros. The weight of a token in
 * `weightedmean` is its column in the batch, counted from 1, so it depends on padding on the left. Follows
 * `sentence_transformers/sentence_transformer/modules/pooling.py`.
 * @param modes in the order of their results
 * @param options.includePrompt whether the tokens of a prompt are pooled. Default: true
 * @throws SentvecError `invalid-argument` for an unknown mode, or none
 */
export function createPooling(
  modes: PoolingMode | readonly PoolingMode[],
  options: { readonly includePrompt?: boolean | undefined } = {},
): Pooling {
  const list: readonly PoolingMode[] = typeof modes === 'string' ? [modes] : [...modes];
  const unknown = list.find((mode) => !poolingModes.includes(mode));
  if (list.length === 0 || unknown !== undefined) {
    throw new SentvecError(
      'invalid-argument',
      `There is no pooling mode "${unknown ?? ''}". Choose from ${poolingModes.join(', ')}.`,
    );
  }
  return {
    name: list.join('+'),
    modes: list,
    includePrompt: options.includePrompt ?? true,
    outputSize: (hiddenSize) => hiddenSize * list.length,
    pool: (tokens, batch) => poolAll(list, tokens, batch),
  };
}

/**
 * The pooling of a model whose ONNX graph itself pools; see `Encoder.pooledOutput`.
 * @param output name of the graph's output, and length of its vectors
 */
export function graphPooling({ name, size }: { readonly name: string; readonly size: number }): Pooling {
  return {
    name: 'graph',
    graphOutput: name,
    config: { output: name },
    outputSize: () => size,
    pool: () => {
      throw new SentvecError(
        'backend-failed',
        `The vectors of this model are the output "${name}" of its ONNX file, but the backend did not return it. Load the model with the backend onnx.`,
      );
    },
  };
}

/** Name of the `pooledOutput` of a sparse model's encoder: for each text, the weight of each term of the vocabulary. */
export const termWeightsOutput = 'term_weights';

/**
 * No pooling, for late-interaction models: gives the vectors of all tokens with mask 1, text by text.
 * @param config other settings that affect the vectors, for the fingerprint
 */
export function tokenPooling(config?: Readonly<Record<string, unknown>>): Pooling {
  return { name: 'tokens', perToken: true, config, outputSize: (hiddenSize) => hiddenSize, pool: keepTokens };
}

function keepTokens({ data, cols }: TokenEmbeddings, { mask }: TokenBatch): Matrix {
  const rows = mask.reduce((count, bit) => count + bit, 0);
  const kept = new Float32Array(rows * cols);
  let row = 0;
  for (let token = 0; token < mask.length; token++)
    if (mask[token] === 1) kept.set(data.subarray(token * cols, (token + 1) * cols), row++ * cols);
  return { data: kept, rows, cols };
}

/**
 * One text of a batch: `at` contains the offsets of its `count` tokens in `from`, and `columns` their columns in the
 * batch.
 */
interface Text {
  readonly from: Float32Array;
  readonly size: number;
  readonly at: Int32Array;
  readonly columns: Int32Array;
  readonly count: number;
  /** A buffer of `size` numbers. */
  readonly sums: Float64Array;
}

function poolAll(modes: readonly PoolingMode[], tokens: TokenEmbeddings, batch: TokenBatch): Matrix {
  const { rows, cols, mask } = batch;
  const size = tokens.cols;
  if (tokens.rows !== rows * cols || tokens.data.length !== tokens.rows * size || mask.length !== tokens.rows) {
    throw new SentvecError(
      'invalid-argument',
      `Token embeddings of ${tokens.rows} rows and a mask of ${mask.length} do not fit a batch of ${rows} × ${cols} tokens.`,
    );
  }
  const pooled = new Float32Array(rows * size * modes.length);
  const at = new Int32Array(cols);
  const columns = new Int32Array(cols);
  const sums = new Float64Array(size);
  for (let row = 0; row < rows; row++) {
    let count = 0;
    for (let column = 0; column < cols; column++) {
      if (mask[row * cols + column] === 0) continue;
      at[count] = (row * cols + column) * size;
      columns[count++] = column;
    }
    if (count === 0) continue;
    const text: Text = { from: tokens.data, size, at, columns, count, sums };
    for (let i = 0; i < modes.length; i++) poolOne[modes[i]!](text, pooled, (row * modes.length + i) * size);
  }
  return { data: pooled, rows, cols: size * modes.length };
}

const poolOne: Readonly<Record<PoolingMode, (text: Text, to: Float32Array, offset: number) => void>> = {
  cls: ({ from, at, size }, to, offset) => to.set(from.subarray(at[0], at[0]! + size), offset),
  lasttoken: ({ from, at, size, count }, to, offset) =>
    to.set(from.subarray(at[count - 1], at[count - 1]! + size), offset),
  max: largest,
  mean: (text, to, offset) => scaledSum(text, 1 / text.count, to, offset),
  mean_sqrt_len_tokens: (text, to, offset) => scaledSum(text, 1 / Math.sqrt(text.count), to, offset),
  weightedmean: weightedMean,
};

function largest({ from, size, at, count }: Text, to: Float32Array, offset: number): void {
  to.set(from.subarray(at[0], at[0]! + size), offset);
  let token = 1;
  for (; token + 3 < count; token += 4) {
    const [a, b, c, d] = [at[token]!, at[token + 1]!, at[token + 2]!, at[token + 3]!];
    for (let i = 0; i < size; i++)
      to[offset + i] = Math.max(to[offset + i]!, from[a + i]!, from[b + i]!, from[c + i]!, from[d + i]!);
  }
  for (; token < count; token++) {
    const start = at[token]!;
    for (let i = 0; i < size; i++) to[offset + i] = Math.max(to[offset + i]!, from[start + i]!);
  }
}

/** Adds four tokens per pass, so that the sums are read and written a quarter as often. This halves the time. */
function scaledSum({ from, size, at, count, sums }: Text, scale: number, to: Float32Array, offset: number): void {
  sums.fill(0);
  let token = 0;
  for (; token + 3 < count; token += 4) {
    const [a, b, c, d] = [at[token]!, at[token + 1]!, at[token + 2]!, at[token + 3]!];
    for (let i = 0; i < size; i++) sums[i]! += from[a + i]! + from[b + i]! + (from[c + i]! + from[d + i]!);
  }
  for (; token < count; token++) {
    const start = at[token]!;
    for (let i = 0; i < size; i++) sums[i]! += from[start + i]!;
  }
  for (let i = 0; i < size; i++) to[offset + i] = sums[i]! * scale;
}

function weightedMean({ from, size, at, columns, count, sums }: Text, to: Float32Array, offset: number): void {
  sums.fill(0);
  let total = 0;
  for (let token = 0; token < count; token++) {
    const start = at[token]!;
    const weight = columns[token]! + 1;
    total += weight;
    for (let i = 0; i < size; i++) sums[i]! += weight * from[start + i]!;
  }
  for (let i = 0; i < size; i++) to[offset + i] = sums[i]! / total;
}
