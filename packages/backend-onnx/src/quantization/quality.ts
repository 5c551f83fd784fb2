// How near the vectors of a quantized model are to those of the model in float32.
import { pairwiseSimilarity, rowOf, similarity, spearmanCorrelation, type Matrix } from '@sentvec/core';

/** How near two models are, on the same texts. */
export interface QuantizationQuality {
  /** Of the cosines between the two vectors of a text. */
  readonly meanCosine: number;
  /** Of the text whose vectors differ most. */
  readonly minimumCosine: number;
  /** Spearman's correlation between the cosines of all pairs of texts by the one model and by the other. */
  readonly rankCorrelation: number;
  /** The share of the 10 nearest texts of a text by the one model that are among those by the other, on average. */
  readonly topOverlap: number;
}

/** What a quantized model must reach. */
export interface QualityBar {
  /** @default 0.999 */
  readonly meanCosine?: number | undefined;
  /** @default 0.99 */
  readonly minimumCosine?: number | undefined;
  /** The most by which the rank correlation may be less than 1. @default 0.002 */
  readonly rankLoss?: number | undefined;
}

/** The bar where nothing else is asked for. */
export const defaultBar: { readonly [Name in keyof QualityBar]-?: number } = {
  meanCosine: 0.999,
  minimumCosine: 0.99,
  rankLoss: 0.002,
};

/** Whether a quality reaches the bar. */
export function reaches(quality: QuantizationQuality, bar: typeof defaultBar): boolean {
  return (
    quality.meanCosine >= bar.meanCosine &&
    quality.minimumCosine >= bar.minimumCosine &&
    1 - quality.rankCorrelation <= bar.rankLoss
  );
}

/** How many neighbours of a text are compared. */
const neighbours = 10;

/**
 * Compares the vectors of the same texts by two models.
 * @param expected by the model in float32, a row for each text
 * @param found by the quantized one
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
