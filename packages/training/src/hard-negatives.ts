// Hard negatives: texts that are near to an anchor though they are not its positive.
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

/** Options of {@link mineHardNegatives}. Scores are similarities of the anchor, or what `rescore` gives. */
export interface HardNegativeOptions {
  /** Negatives for each anchor. @default 3 */
  readonly negatives?: number | undefined;
  /** How many of the nearest candidates are skipped: they may be answers that nobody has marked. @default 0 */
  readonly rangeMin?: number | undefined;
  /** How many of the nearest candidates are considered, the skipped ones included. @default 100 */
  readonly rangeMax?: number | undefined;
  /** Candidates with a higher score are skipped. @default no limit */
  readonly maxScore?: number | undefined;
  /** Candidates with a lower score are skipped. @default no limit */
  readonly minScore?: number | undefined;
  /**
   * The score of a candidate must be at least this much below that of the anchor's positive. At least 0. @default none
   */
  readonly margin?: number | undefined;
  /**
   * A candidate must score at most this share of the positive's score, from 0 to 1: 0.95 here is a `relative_margin` of
   * 0.05 in sentence-transformers. Below a negative score of -s, a candidate must score at most -s - (1 - share) · s.
   * @default none
   */
  readonly relativeMargin?: number | undefined;
  /** `top`: the nearest that are left. `random`: any of them. @default 'top' */
  readonly sampling?: 'top' | 'random' | undefined;
  /** Of `random` sampling. @default 42 */
  readonly seed?: number | undefined;
  /** @default 'cosine' */
  readonly similarity?: SimilarityFunction | undefined;
  /**
   * Scores an anchor's positive and its `rangeMax` nearest candidates again, with a reranker for example. These scores
   * then decide on order, limits and margins in place of similarities.
   * @default similarities decide
   */
  readonly rescore?: Rescore | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Scores for an anchor, by its row and those of candidates: of its positive, then of each candidate. */
export type Rescore = (anchor: number, candidates: readonly number[]) => Promise<ArrayLike<number>>;

/** An anchor's hard negatives: rows of the candidates. */
export interface MinedNegatives {
  /** Row of the anchor and of its positive. */
  readonly row: number;
  readonly negatives: readonly number[];
  /** Of the positive, then of each negative: labels for a loss that learns from a teacher's scores. */
  readonly scores: readonly number[];
}

/**
 * For each anchor, candidates that are near to it though they are not its positive: what in-batch negatives learn most
 * from. By rank, score and margin, as `mine_hard_negatives` of sentence-transformers. Anchors for which fewer are found
 * than asked for are left out.
 *
 * @param anchors a row for each anchor
 * @param positives row i is the positive of anchor i
 * @param pool the rows that negatives are chosen from, and which of them must not be a negative of an anchor
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
  const right = pairwiseSimilarity(anchors, positives, similarity);
  // Positives among the nearest do not count as candidates, so look a little further than rangeMax.
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
      : { positive: right[row]!, others: nearest };
    const fitting = others.slice(rangeMin).filter(({ score }) => fits(score, positive, options));
    const chosen = (sampling === 'random' ? random.shuffle(fitting) : fitting).slice(0, negatives);
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

function fits(
  score: number,
  positiveScore: number,
  { maxScore = Infinity, minScore = -Infinity, margin, relativeMargin }: HardNegativeOptions,
): boolean {
  if (score > maxScore || score < minScore) return false;
  if (margin !== undefined && score > positiveScore - margin) return false;
  return relativeMargin === undefined || score <= positiveScore - Math.abs(positiveScore) * (1 - relativeMargin);
}
