// Distils an embedder into a StaticEmbedding: it embeds each token of the vocabulary alone, reduces the vectors by PCA,
// and weights each by how rare its token is. The result can be fine-tuned.
import {
  createEmbedder,
  memoryModel,
  readModelFolder,
  readTokenizerDefinition,
  writeSafetensors,
  type Embedder,
  type Matrix,
  type ModelFiles,
} from '@sentvec/core';
import { checkCount, checkOptionNames, shouldYield, throwIfAborted, yieldToEventLoop } from '@sentvec/platform';
import { EigenvalueDecomposition, Matrix as SquareMatrix } from 'ml-matrix';
import { checkedParameter } from '../loss.ts';
import { licenceOf } from './fresh-head.ts';
import { staticFolder } from './static-folder.ts';
import { tokenFrequencies } from './initial-weights.ts';

/** Options of {@link distillStatic}. */
export interface DistillStaticOptions {
  /** Dimension of the static vectors, at most that of the model's vectors. @default 256 */
  readonly dimension?: number | undefined;
  /**
   * Texts like those that will be embedded. Token frequencies are counted in them.
   * @default frequencies follow Zipf's law, with token ids in descending order of frequency, as in most vocabularies
   */
  readonly texts?: Iterable<string> | undefined;
  /**
   * The parameter `a` of the token weight a / (a + probability) (SIF: Arora et al., 2017). The smaller it is, the less
   * weight frequent tokens get. Above 0.
   * @default 1e-3
   */
  readonly smoothing?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called while the tokens are embedded. */
  readonly onProgress?: ((progress: { readonly tokens: number; readonly of: number }) => void) | undefined;
}

/**
 * Distils a model into a StaticEmbedding, as model2vec does (Tulkens and van Dongen, 2024): the model embeds each token
 * of the vocabulary alone, between the special tokens; PCA reduces the dimension; frequent tokens get small weights.
 * The result is a sentence-transformers folder in memory, which can be trained further.
 * @returns a folder with one StaticEmbedding and a Normalize
 * @throws SentvecError `invalid-argument`; `aborted`; errors of the embedder
 */
export async function distillStatic(embedder: Embedder, options: DistillStaticOptions = {}): Promise<ModelFiles> {
  const names = { dimension: true, texts: true, smoothing: true, signal: true, onProgress: true } as const;
  checkOptionNames('distillStatic()', options, names);
  const { dimension = 256, smoothing = 1e-3, signal, texts, onProgress } = options;
  checkCount(dimension, 'dimension');
  checkedParameter('distillStatic()', 'smoothing', smoothing, 'positive');
  const folder = await readModelFolder(embedder.model);
  const definition = await readTokenizerDefinition(folder.encoderFiles, { lowercase: folder.lowerCase });
  const vectors = await tokenVectors(embedder, signal, onProgress);
  const table = await principalComponents(vectors, Math.min(dimension, vectors.cols), signal);
  const probabilities = texts ? await tokenFrequencies(definition, [...texts], table.rows) : zipf(table.rows);
  const { prefix, suffix } = embedder.tokenizer.specialTokens;
  const special = new Set([...prefix, ...suffix, embedder.tokenizer.paddingId]);
  for (let row = 0; row < table.rows; row += 1) {
    const weight = special.has(row) ? 0 : smoothing / (smoothing + probabilities[row]!);
    for (let i = row * table.cols; i < (row + 1) * table.cols; i += 1) table.data[i]! *= weight;
  }
  const name = `static ${embedder.model.name}`;
  return memoryModel(name, {
    ...(await licenceOf(embedder.model, folder.encoderFiles)),
    ...staticFolder(definition.json, {
      'model.safetensors': writeSafetensors(
        { 'embedding.weight': { shape: [table.rows, table.cols], data: table.data } },
        { format: 'pt' },
      ),
    }),
  });
}

/** Embeds each token id as a text of that one token. */
async function tokenVectors(
  embedder: Embedder,
  signal: AbortSignal | undefined,
  onProgress: DistillStaticOptions['onProgress'],
): Promise<Matrix> {
  const { prefix, suffix } = embedder.tokenizer.specialTokens;
  const length = prefix.length + 1 + suffix.length;
  // The "texts" of this embedder are token ids. It is not disposed, because its parts belong to the original embedder.
  const idEmbedder = createEmbedder({
    model: embedder.model,
    encoder: embedder.encoder,
    head: embedder.head,
    maxLength: length,
    tokenizer: {
      ...embedder.tokenizer,
      encode: (ids) =>
        Promise.resolve(
          ids.map((id) => ({ ids: Int32Array.from([...prefix, Number(id), ...suffix]), length, truncated: false })),
        ),
    },
  });
  const { vocabularySize } = embedder.tokenizer;
  const count = Math.min(vocabularySize, embedder.encoder.vocabularySize ?? vocabularySize);
  const ids = Array.from({ length: count }, (_, id) => String(id));
  const { vectors } = await idEmbedder.embed(ids, {
    signal,
    onProgress: ({ rows }) => onProgress?.({ tokens: rows, of: count }),
  });
  return vectors;
}

/** Zipf's law: the probability of rank n (from 1) of `count` is proportional to 1 / (n + 1). */
function zipf(count: number): Float64Array {
  const shares = Float64Array.from({ length: count }, (_, rank) => 1 / (rank + 2));
  const total = shares.reduce((sum, share) => sum + share, 0);
  return shares.map((share) => share / total);
}

/**
 * Principal component analysis (Pearson, 1901; Hotelling, 1933): projects the centred rows on the first `dimension`
 * components.
 */
async function principalComponents(
  { data, rows, cols }: Matrix,
  dimension: number,
  signal: AbortSignal | undefined,
): Promise<Matrix & { readonly data: Float32Array<ArrayBuffer> }> {
  const mean = new Float64Array(cols);
  for (let i = 0; i < data.length; i += 1) mean[i % cols]! += data[i]! / rows;
  const covariance = SquareMatrix.zeros(cols, cols);
  const row = new Float64Array(cols);
  const centre = (index: number): void => {
    for (let i = 0; i < cols; i += 1) row[i] = data[index * cols + i]! - mean[i]!;
  };
  const upper = Array.from({ length: cols }, () => new Float64Array(cols));
  for (let index = 0; index < rows; index += 1) {
    centre(index);
    for (let i = 0; i < cols; i += 1) {
      const factor = row[i]!;
      const sums = upper[i]!;
      for (let j = i; j < cols; j += 1) sums[j]! += factor * row[j]!;
    }
    if (shouldYield()) await yieldToEventLoop();
    throwIfAborted(signal);
  }
  for (let i = 0; i < cols; i += 1)
    for (let j = i; j < cols; j += 1) {
      covariance.set(i, j, upper[i]![j]! / rows);
      covariance.set(j, i, upper[i]![j]! / rows);
    }
  const { eigenvectorMatrix, realEigenvalues } = new EigenvalueDecomposition(covariance, { assumeSymmetric: true });
  const order = realEigenvalues.map((_, index) => index).sort((a, b) => realEigenvalues[b]! - realEigenvalues[a]!);
  const axes = order.slice(0, dimension).map((column) => Float64Array.from(eigenvectorMatrix.getColumn(column)));
  const projected = new Float32Array(rows * dimension);
  for (let index = 0; index < rows; index += 1) {
    centre(index);
    for (const [entry, axis] of axes.entries()) {
      let sum = 0;
      for (let i = 0; i < cols; i += 1) sum += axis[i]! * row[i]!;
      projected[index * dimension + entry] = sum;
    }
    if (shouldYield()) await yieldToEventLoop();
    throwIfAborted(signal);
  }
  return { data: projected, rows, cols: dimension };
}
