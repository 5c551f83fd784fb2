// Compares the vectors of a quantized model with those of the model in float32.
import { pairwiseSimilarity, rowOf, similarity, spearmanCorrelation, type Matrix } from '@sentvec/core';

/** The similarity of the vectors of two models for the same texts. */
export interface QuantizationQuality {
  /** The mean cosine similarity of the two vectors of a text. */
  readonly meanCosine: number;
  /** The lowest cosine similarity of the two vectors of a text. */
  readonly minimumCosine: number;
  /** Spearman's rank correlation of the cosine similarities of all pairs of texts in the two models. */
  readonly rankCorrelation: number;
  /** The mean overlap of the 10 nearest neighbours of a text in the two models, from 0 to 1. */
  readonly topOverlap: number;
}

/** The minimum quality of a quantized model. */
export interface QualityBar {
  /**
   * The minimum of {@link QuantizationQuality.meanCosine}.
   * @default 0.999
   */
  readonly meanCosine?: number | undefined;
  /**
   * The minimum of {@link QuantizationQuality.minimumCosine}.
   * @default 0.99
   */
  readonly minimumCosine?: number | undefined;
  /**
   * The maximum of 1 - {@link QuantizationQuality.rankCorrelation}.
   * @default 0.002
   */
  readonly rankLoss?: number | undefined;
}

/** The defaults of {@link QualityBar}. */
export const defaultBar: { readonly [Name in keyof QualityBar]-?: number } = {
  meanCosine: 0.999,
  minimumCosine: 0.99,
  rankLoss: 0.002,
};

/** Whether a quality meets the minimum quality. */
export function reaches(quality: QuantizationQuality, bar: typeof defaultBar): boolean {
  return (
    quality.meanCosine >= bar.meanCosine &&
    quality.minimumCosine >= bar.minimumCosine &&
    1 - quality.rankCorrelation <= bar.rankLoss
  );
}

/** The number of neighbours for `topOverlap`. */
const neighbours = 10;

/**
 * Compares the vectors of the same texts by two models.
 * @param expected the vectors of the model in float32, one row for each text
 * @param found the vectors of the quantized model
 */
export function compareVectors(expected: Matrix, found: Matrix): QuantizationQuality {
  const cosines = pairwiseSimilarity(expected, found, 'cosine');
  const [of, by] = [similarity(expected, expected, 'cosine'), similarity(found, found, 'cosine')];
  return {
    meanCosine: cosines.reduce((sum, each) => sum + each, 0) / cosines.length,
    minimumCosine: cosines.reduce((least, each) => Math.min(least, each), 1),
    rankCorrelation: spearmanCorrelation(pairsOf(of), pairsOf(by)),
    topOverlap: overlap(of, by),
  };
}

/** The entries above the diagonal. */
function pairsOf({ data, rows, cols }: Matrix): Float32Array {
  const pairs = new Float32Array((rows * (rows - 1)) / 2);
  let at = 0;
  for (let row = 0; row < rows; row += 1) {
    for (let col = row + 1; col < cols; col += 1) pairs[at++] = data[row * cols + col]!;
  }
  return pairs;
}

function overlap(of: Matrix, by: Matrix): number {
  let shared = 0;
  let wanted = 0;
  for (let row = 0; row < of.rows; row += 1) {
    const expected = nearest(rowOf(of, row), row);
    const found = new Set(nearest(rowOf(by, row), row));
    wanted += expected.length;
    shared += expected.filter((text) => found.has(text)).length;
  }
  return shared / wanted;
}

function nearest(similarities: Float32Array, self: number): number[] {
  return [...similarities.keys()]
    .filter((text) => text !== self)
    .sort((a, b) => similarities[b]! - similarities[a]! || a - b)
    .slice(0, neighbours);
}
