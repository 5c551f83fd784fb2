// Static embeddings of sentence-transformers and model2vec: the table of token vectors, and the encoder that looks them
// up.
import { shouldYield, yieldToEventLoop } from '@sentvec/platform';
import { SentvecError, throwIfAborted } from '../errors.ts';
import { outputSize } from '../projection/head.ts';
import { applyProjections } from '../projection/projection.ts';
import { readWeights, type Weights } from '../weights/read-weights.ts';
import type { EncodeOptions, EncodePooledOptions, Encoder } from '../backend.ts';
import type { Head, Matrix, ModelFiles, TokenBatch, TokenEmbeddings } from '../types.ts';

/** A table with one vector for each token id, independent of context. */
interface TokenTable {
  /** Name of the weights file, for messages. */
  readonly file: string;
  readonly vectors: Matrix;
  /** The row of `vectors` for each id, if it differs from the id (model2vec's vocabulary quantization). */
  readonly rowOfId: Int32Array | undefined;
  /** A factor for the vector of each id. */
  readonly weights: Float32Array | undefined;
  /** One more than the largest id. */
  readonly vocabularySize: number;
}

/**
 * How many tokens, or rows of projections, are computed between checks whether to yield to the event loop: at most a
 * few milliseconds of work.
 */
const tokensOfStep = 1024;
const rowsOfStep = 16;

/**
 * Loads the encoder of a StaticEmbedding module or of a model2vec folder: a table of vectors, which needs no backend.
 * Reads `embedding.weight`, or model2vec's `embeddings` with optional `mapping` and `weights`.
 * (`sentence_transformers/sentence_transformer/modules/static_embedding.py`)
 * @param files the module's own folder
 * @throws SentvecError `invalid-model`
 */
export async function loadStaticEmbedding(files: ModelFiles): Promise<Encoder> {
  return new StaticEmbedding(readTable(await readWeights(files), `${files.name}/model.safetensors`));
}

function readTable(weights: Weights, file: string): TokenTable {
  const name = weights.has('embedding.weight') ? 'embedding.weight' : 'embeddings';
  const { shape, data } = numbers(weights, name);
  const [rows = 0, cols = 0] = shape;
  if (shape.length !== 2 || rows === 0 || cols === 0)
    throw tableError(file, `tensor "${name}" has the shape [${shape.join(', ')}], not [tokens, size]`);
  const rowOfId = name === 'embeddings' && weights.has('mapping') ? weights.integers('mapping').data : undefined;
  if (rowOfId?.some((row) => row < 0 || row >= rows))
    throw tableError(file, `tensor "mapping" points outside the ${rows} rows of "embeddings"`);
  const vocabularySize = rowOfId?.length ?? rows;
  const factors = name === 'embeddings' && weights.has('weights') ? numbers(weights, 'weights').data : undefined;
  if (factors !== undefined && factors.length !== vocabularySize) {
    throw tableError(file, `tensor "weights" has ${factors.length} entries for ${vocabularySize} tokens`);
  }
  return { file, vectors: { data, rows, cols }, rowOfId, weights: factors, vocabularySize };
}

/** Reads a tensor as float32. model2vec may also store integers, to save space; it averages them without rescaling. */
function numbers(weights: Weights, name: string): { readonly shape: readonly number[]; readonly data: Float32Array } {
  if (!/^[IU]/u.test(weights.type(name))) return weights.tensor(name);
  const { shape, data } = weights.integers(name);
  return { shape, data: Float32Array.from(data) };
}

function tableError(file: string, what: string): SentvecError {
  return new SentvecError('invalid-model', `In ${file}, ${what}.`, { file });
}

class StaticEmbedding implements Encoder {
  readonly hiddenSize: number;
  readonly vocabularySize: number;
  readonly maxPositions: number = Infinity;
  readonly concurrency: number = 1;
  /** Padding costs nothing here, so batches can be large. */
  readonly batchTokens: number = 4096;
  #table: TokenTable | undefined;

  constructor(table: TokenTable) {
    this.#table = table;
    this.hiddenSize = table.vectors.cols;
    this.vocabularySize = table.vocabularySize;
  }

  async encode(batch: TokenBatch, options: EncodeOptions = {}): Promise<TokenEmbeddings> {
    const size = this.hiddenSize;
    const data = new Float32Array(batch.ids.length * size);
    await this.#yield(options);
    for (let token = 0; token < batch.ids.length; token++) {
      if (token % tokensOfStep === tokensOfStep - 1) await this.#yield(options);
      if (batch.mask[token] !== 0)
        copyVector(this.#checkedTable(), batch.ids[token]!, data.subarray(token * size, (token + 1) * size));
    }
    return { data, rows: batch.ids.length, cols: size };
  }

  /**
   * Computes the mean without materializing token vectors. For other poolings it returns `undefined`, and the caller
   * pools.
   */
  async encodePooled(batch: TokenBatch, head: Head, options: EncodePooledOptions = {}): Promise<Matrix | undefined> {
    if (head.pooling.modes?.join() !== 'mean') return undefined;
    await this.#yield(options);
    const means = await this.#means(batch, options.poolingMask ?? batch.mask, options);
    const cols = outputSize(head, means.cols);
    const result = new Float32Array(batch.rows * cols);
    for (let row = 0; row < batch.rows; row += rowsOfStep) {
      await this.#yield(options);
      const data = means.data.subarray(row * means.cols, (row + rowsOfStep) * means.cols);
      const step = applyProjections(head.projections, { data, rows: data.length / means.cols, cols: means.cols });
      result.set(step.data, row * cols);
    }
    return { data: result, rows: batch.rows, cols };
  }

  async dispose(): Promise<void> {
    this.#table = undefined;
  }

  async #means({ ids, rows, cols }: TokenBatch, mask: Int32Array, options: EncodeOptions): Promise<Matrix> {
    const size = this.hiddenSize;
    const data = new Float32Array(rows * size);
    const sums = new Float64Array(size);
    for (let row = 0; row < rows; row++) {
      sums.fill(0);
      let count = 0;
      for (let column = 0; column < cols; column++) {
        const token = row * cols + column;
        if (token % tokensOfStep === 0) await this.#yield(options);
        if (mask[token] === 0) continue;
        addVector(this.#checkedTable(), ids[token]!, sums);
        count++;
      }
      for (let i = 0; i < size; i++) data[row * size + i] = sums[i]! / Math.max(count, 1);
    }
    return { data, rows, cols: size };
  }

  async #yield({ signal }: EncodeOptions): Promise<void> {
    if (shouldYield()) await yieldToEventLoop();
    throwIfAborted(signal);
  }

  #checkedTable(): TokenTable {
    if (this.#table !== undefined) return this.#table;
    throw new SentvecError('disposed', 'This encoder was disposed. Load the model again to use it.');
  }
}

/** Offset of the vector of a token id in the table. */
function startOf({ file, vectors, rowOfId, vocabularySize }: TokenTable, id: number): number {
  if (id >= 0 && id < vocabularySize) return (rowOfId === undefined ? id : rowOfId[id]!) * vectors.cols;
  throw new SentvecError(
    'invalid-model',
    `The tokenizer gave the id ${id}, but ${file} has vectors only for the ids 0 to ${vocabularySize - 1}. Check that the tokenizer belongs to the model.`,
    {
      file,
    },
  );
}

function addVector(table: TokenTable, id: number, sums: Float64Array): void {
  const { data } = table.vectors;
  const start = startOf(table, id);
  const weight = table.weights === undefined ? 1 : table.weights[id]!;
  for (let i = 0; i < sums.length; i++) sums[i]! += weight * data[start + i]!;
}

function copyVector(table: TokenTable, id: number, to: Float32Array): void {
  const { data } = table.vectors;
  const start = startOf(table, id);
  const weight = table.weights === undefined ? 1 : table.weights[id]!;
  for (let i = 0; i < to.length; i++) to[i] = weight * data[start + i]!;
}
