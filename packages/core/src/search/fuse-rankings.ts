// Fuses several rankings into one, for example those of a vector search and of BM25.
import { checkOptionNames } from '@sentvec/platform';
import { SentvecError } from '../errors.ts';
import type { SearchHit } from './top-rows.ts';
import { checkChoice, checkTopK } from './vector-checks.ts';

/** Options of {@link fuseRankings}. */
export interface FuseOptions {
  /**
   * `ranks`: the fused score of a row is the sum of 1 / (k + rank) over the rankings that contain it (reciprocal rank
   * fusion: Cormack et al., 2009). `scores`: the sum of its scores, after each ranking's scores were scaled to 0 to 1;
   * a ranking that does not contain the row adds 0.
   * @default 'ranks'
   */
  readonly by?: 'ranks' | 'scores' | undefined;
  /**
   * Constant of reciprocal rank fusion: the larger, the smaller the advantage of the first ranks.
   * @default 60
   */
  readonly k?: number | undefined;
  /**
   * Weight of each ranking.
   * @default 1 for each
   */
  readonly weights?: readonly number[] | undefined;
  /**
   * Number of rows in the result.
   * @default all
   */
  readonly topK?: number | undefined;
}

/**
 * Fuses rankings of the rows of one corpus.
 * @param rankings each with the best row first
 * @returns the fused ranking, best first; equal scores in the order of rows
 * @throws SentvecError `invalid-argument`
 */
export function fuseRankings(rankings: readonly (readonly SearchHit[])[], options: FuseOptions = {}): SearchHit[] {
  checkOptionNames('fuseRankings()', options, { by: true, k: true, weights: true, topK: true });
  const { by = 'ranks', k = 60, weights = rankings.map(() => 1), topK = Infinity } = options;
  checkChoice(by, ['ranks', 'scores'], 'by');
  checkTopK(topK);
  if (!(k > 0 && Number.isFinite(k))) throw argumentError(`k is ${k}; it must be a number above 0.`);
  if (weights.length !== rankings.length)
    throw argumentError(`There are ${weights.length} weights for ${rankings.length} rankings.`);
  if (!weights.every((weight) => weight >= 0 && Number.isFinite(weight)))
    throw argumentError(`Weights must be numbers of at least 0, not ${weights.join(', ')}.`);
  const fused = new Map<number, number>();
  for (const [index, ranking] of rankings.entries()) {
    checkRanking(ranking, index);
    const share = by === 'ranks' ? (_: SearchHit, rank: number) => 1 / (k + rank) : minMaxScaling(ranking);
    for (const [position, hit] of ranking.entries())
      fused.set(hit.row, (fused.get(hit.row) ?? 0) + weights[index]! * share(hit, position + 1));
  }
  return [...fused]
    .map(([row, score]) => ({ row, score }))
    .sort((a, b) => b.score - a.score || a.row - b.row)
    .slice(0, topK);
}

function checkRanking(ranking: readonly SearchHit[], index: number): void {
  const seen = new Set<number>();
  for (const { row, score } of ranking) {
    if (Number.isNaN(score)) throw argumentError(`Ranking ${index} gives row ${row} a score that is not a number.`);
    if (seen.has(row)) throw argumentError(`Ranking ${index} has row ${row} twice.`);
    seen.add(row);
  }
}

/** Scales the scores of a ranking so that the worst is 0 and the best is 1. */
function minMaxScaling(ranking: readonly SearchHit[]): (hit: SearchHit) => number {
  const [best, worst] = [ranking[0]?.score ?? 0, ranking.at(-1)?.score ?? 0];
  return ({ score }) => (best === worst ? 1 : (score - worst) / (best - worst));
}

function argumentError(message: string): SentvecError {
  return new SentvecError('invalid-argument', message);
}
