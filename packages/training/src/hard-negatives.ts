// Mines hard negatives: texts that are similar to an anchor but are not its positives.
import {
  pairwiseSimilarity,
  semanticSearch,
  SentvecError,
  throwIfAborted,
  type Matrix,
  type SearchHit,
  type SimilarityFunction,
} from '@sentvec/core';
import { checkCount, checkOptionNames } from '@sentvec/platform';
import { Random } from './random.ts';

/** Options of {@link mineHardNegatives}. A score is a similarity to the anchor, or the result of `rescore`. */
export interface HardNegativeOptions {
  /** Negatives for each anchor. @default 3 */
  readonly negatives?: number | undefined;
  /** How many of the nearest candidates are skipped, because they may be unlabelled positives. @default 0 */
  readonly rangeMin?: number | undefined;
  /** How many of the nearest candidates are considered, including the skipped ones. @default 100 */
  readonly rangeMax?: number | undefined;
  /** Candidates with a higher score are skipped. @default no limit */
  readonly maxScore?: number | undefined;
  /** Candidates with a lower score are skipped. @default no limit */
  readonly minScore?: number | undefined;
  /**
   * The score of a candidate must be lower than the positive's score by at least this much. At least 0. @default no
   * limit
   */
  readonly margin?: number | undefined;
  /**
   * The score of a candidate must be at most this share of the positive's score, from 0 to 1. 0.95 here is a
   * `relative_margin` of 0.05 in sentence-transformers. If the positive's score is negative, -s, the limit is -s - (1 -
   * share) · s.
   * @default none
   */
  readonly relativeMargin?: number | undefined;
  /** Which of the remaining candidates are chosen: the nearest (`top`), or random ones. @default 'top' */
  readonly sampling?: 'top' | 'random' | undefined;
  /** Seed of `random` sampling. @default 42 */
  readonly seed?: number | undefined;
  /** @default 'cosine' */
  readonly similarity?: SimilarityFunction | undefined;
  /**
   * Rescores the positive and the `rangeMax` nearest candidates of an anchor, for example with a reranker. These scores
   * then replace similarities in the order, the limits and the margins.
   * @default similarities are used
   */
  readonly rescore?: Rescore | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Gets the row of an anchor and the rows of its candidates. Returns the score of its positive, then that of each
 * candidate.
 */
export type Rescore = (anchor: number, candidates: readonly number[]) => Promise<ArrayLike<number>>;

/** The hard negatives of an anchor. */
export interface MinedNegatives {
  /** Row of the anchor and of its positive. */
  readonly row: number;
  /** Rows of the candidates. */
  readonly negatives: readonly number[];
  /** The score of the positive, then that of each negative. A distillation loss can use them as labels. */
  readonly scores: readonly number[];
}

/**
 * Finds hard negatives for each anchor: candidates that are similar to it but are not its positives. They are filtered
 * by rank, score and margin, as in `mine_hard_negatives` of sentence-transformers. Anchors with fewer than `negatives`
 * hard negatives are left out of the result.
 * @param anchors `[anchors, dimension]`
 * @param positives row i is the positive of anchor i
 * @param pool the vectors that negatives are chosen from, and a function that says which of them are positives of an
 * anchor
 * @throws SentvecError `invalid-argument`
 */
export async function mineHardNegatives(
  anchors: Matrix,
  positives: Matrix,
  pool: { readonly candidates: Matrix; readonly isPositive: (anchor: number, candidate: number) => boolean },
  options: HardNegativeOptions = {},
): Promise<MinedNegatives[]> {
  checkOptionNames('mineHardNegatives()', options, {
    negatives: true,
    rangeMin: true,
    rangeMax: true,
    maxScore: true,
    minScore: true,
    margin: true,
    relativeMargin: true,
    sampling: true,
    seed: true,
    similarity: true,
    rescore: true,
    signal: true,
  });
  const {
    negatives = 3,
    rangeMin = 0,
    rangeMax = 100,
    sampling = 'top',
    seed = 42,
    similarity = 'cosine',
    rescore,
    signal,
  } = options;
  checkOptions({ ...options, negatives, rangeMin, rangeMax });
  const { candidates, isPositive } = pool;
  const positiveScores = pairwiseSimilarity(anchors, positives, similarity);
  // The nearest texts may include positives, which are filtered out, so search for 50 more than rangeMax.
  const hits = await semanticSearch(anchors, candidates, {
    topK: Math.min(candidates.rows, rangeMax + 50),
    similarity,
    signal,
  });
  const random = new Random(seed);
  const mined: MinedNegatives[] = [];
  for (const [row, found] of hits.entries()) {
    throwIfAborted(signal);
    const nearest = found.filter((hit) => !isPositive(row, hit.row)).slice(0, rangeMax);
    const { positive, others } = rescore
      ? await rescored(row, nearest, rescore)
      : { positive: positiveScores[row]!, others: nearest };
    const eligible = others.slice(rangeMin).filter(({ score }) => isWithinLimits(score, positive, options));
    const chosen = (sampling === 'random' ? random.shuffle(eligible) : eligible).slice(0, negatives);
    if (chosen.length < negatives) continue;
    const scores = [positive, ...chosen.map(({ score }) => score)];
    mined.push({ row, negatives: chosen.map((hit) => hit.row), scores });
  }
  return mined;
}

async function rescored(
  anchor: number,
  nearest: readonly SearchHit[],
  rescore: Rescore,
): Promise<{ readonly positive: number; readonly others: readonly SearchHit[] }> {
  const scores = await rescore(
    anchor,
    nearest.map(({ row }) => row),
  );
  const others = nearest.map(({ row }, index) => ({ row, score: scores[index + 1]! }));
  return { positive: scores[0]!, others: others.sort((a, b) => b.score - a.score) };
}

function checkOptions({
  negatives,
  rangeMin,
  rangeMax,
  margin = 0,
  relativeMargin = 1,
}: HardNegativeOptions & { readonly negatives: number; readonly rangeMin: number; readonly rangeMax: number }): void {
  const optionError = (problem: string) => new SentvecError('invalid-argument', problem);
  checkCount(negatives, 'negatives');
  if (!(Number.isSafeInteger(rangeMin) && rangeMin >= 0))
    throw optionError(`rangeMin is ${rangeMin}; it must be a whole number of at least 0.`);
  if (!(rangeMax - rangeMin >= negatives))
    throw optionError(
      `Between rank ${rangeMin} and ${rangeMax} there are fewer than ${negatives} candidates. Widen the range.`,
    );
  if (!(margin >= 0)) throw optionError(`margin is ${margin}; it must be at least 0.`);
  if (!(relativeMargin >= 0 && relativeMargin <= 1))
    throw optionError(`relativeMargin is ${relativeMargin}; it must be a share of the positive's score, from 0 to 1.`);
}

function isWithinLimits(
  score: number,
  positiveScore: number,
  { maxScore = Infinity, minScore = -Infinity, margin, relativeMargin }: HardNegativeOptions,
): boolean {
  if (score > maxScore || score < minScore) return false;
  if (margin !== undefined && score > positiveScore - margin) return false;
  return relativeMargin === undefined || score <= positiveScore - Math.abs(positiveScore) * (1 - relativeMargin);
}
