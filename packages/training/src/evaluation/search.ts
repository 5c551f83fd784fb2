// Evaluators of rankings: reranking the documents of a query, and mining paraphrases.
import { paraphraseMining, similarity as similarityMatrix, type SimilarityFunction } from '@sentvec/core';
import { checkOptionNames } from '@sentvec/platform';
import { withPrompt, type EmbedTexts, type SearchPrompts } from '../embed-texts.ts';
import type { Evaluation } from '../training-request.ts';
import { averagePrecision, bestF1, discountedGain, rankLabels } from './ranked-labels.ts';

/** A query with relevant (positive) and irrelevant (negative) documents. */
export interface RerankingSample {
  readonly query: string;
  readonly positive: readonly string[];
  readonly negative: readonly string[];
}

/** Groups rows by query, one sample per distinct query. The label of a row is 1 if its document is relevant, else 0. */
export function rerankingSamples(
  queries: readonly string[],
  documents: readonly string[],
  labels: ArrayLike<number>,
): RerankingSample[] {
  const samples = new Map<string, { query: string; positive: string[]; negative: string[] }>();
  for (const [row, query] of queries.entries()) {
    const sample = samples.get(query) ?? { query, positive: [], negative: [] };
    samples.set(query, sample);
    sample[labels[row] === 1 ? 'positive' : 'negative'].push(documents[row]!);
  }
  return [...samples.values()];
}

/**
 * Ranks the documents of each query: mean average precision (`score`), MRR and NDCG at k. Follows `RerankingEvaluator`
 * of sentence-transformers.
 * @param k default 10
 */
export async function evaluateReranking(
  embed: EmbedTexts,
  samples: readonly RerankingSample[],
  similarity: SimilarityFunction = 'cosine',
  k = 10,
  prompts: SearchPrompts = {},
): Promise<Evaluation> {
  checkOptionNames('evaluateReranking()', prompts, { queryPrompt: true, corpusPrompt: true });
  const { queryPrompt, corpusPrompt } = prompts;
  const [embedQuery, embedDocuments] = [withPrompt(embed, queryPrompt), withPrompt(embed, corpusPrompt)];
  const scoresOf = async (query: string, documents: readonly string[]): Promise<Float32Array> => {
    const queryVector = await embedQuery([query], { as: 'query' });
    return similarityMatrix(queryVector, await embedDocuments(documents, { as: 'document' }), similarity).data;
  };
  return meanOfRankings(withPositivesAndNegatives(samples), scoresOf, k);
}

/**
 * The samples with at least one positive and one negative: `RerankingEvaluator` of sentence-transformers skips others.
 */
export function withPositivesAndNegatives(samples: readonly RerankingSample[]): RerankingSample[] {
  return samples.filter(({ positive, negative }) => positive.length > 0 && negative.length > 0);
}

/**
 * Ranks the documents of each query by `scoresOf`, and averages the metrics over all queries. A query without positives
 * scores 0.
 */
export async function meanOfRankings(
  samples: readonly RerankingSample[],
  scoresOf: (query: string, documents: readonly string[]) => Promise<ArrayLike<number>>,
  k = 10,
): Promise<Evaluation> {
  const totals = { map: 0, [`mrr@${k}`]: 0, [`ndcg@${k}`]: 0 };
  for (const { query, positive, negative } of samples) {
    if (positive.length === 0) continue;
    const documents = [...positive, ...negative];
    const scores = await scoresOf(query, documents);
    const ranked = rankLabels(
      scores,
      Array.from(documents, (_, i) => Number(i < positive.length)),
    );
    const first = ranked.labels.indexOf(1);
    totals.map += averagePrecision(ranked) / samples.length;
    totals[`mrr@${k}`]! += (first < k ? 1 / (first + 1) : 0) / samples.length;
    totals[`ndcg@${k}`]! += discountedGain(ranked.labels, k) / samples.length;
  }
  return { score: totals.map, metrics: totals };
}

/** Texts, and which of them (by row) are paraphrases of each other. */
export interface ParaphraseTask {
  readonly texts: readonly string[];
  readonly duplicates: readonly (readonly [number, number])[];
}

/** Makes a paraphrase task of pairs: `first[i]` and `second[i]` are paraphrases. Equal texts become one. */
export function paraphraseTask(first: readonly string[], second: readonly string[]): ParaphraseTask {
  const texts = [...new Set([...first, ...second])];
  const rowOf = new Map(texts.map((text, row) => [text, row]));
  const duplicates = first.map((text, row) => [rowOf.get(text)!, rowOf.get(second[row]!)!] as const);
  return { texts, duplicates: duplicates.filter(([a, b]) => a !== b) };
}

/**
 * Mines paraphrases among all texts: average precision (`score`), and best F1 with its precision, recall and threshold.
 * Paraphrases that mining does not return lower the recall. Follows `ParaphraseMiningEvaluator` of
 * sentence-transformers.
 */
export async function evaluateParaphrases(
  embed: EmbedTexts,
  { texts, duplicates }: ParaphraseTask,
  similarity: SimilarityFunction = 'cosine',
): Promise<Evaluation> {
  const key = (a: number, b: number) => `${Math.min(a, b)} ${Math.max(a, b)}`;
  const right = new Set(duplicates.map(([a, b]) => key(a, b)));
  const pairs = await paraphraseMining(await embed(texts), { similarity });
  const labels = pairs.map(({ first, second }) => Number(right.has(key(first, second))));
  const ranked = { scores: pairs.map(({ score }) => score), labels };
  const found = labels.reduce((sum, label) => sum + label, 0) / Math.max(1, right.size);
  const best = bestF1(ranked);
  const recall = best.recall * found;
  const f1 = best.precision + recall === 0 ? 0 : (2 * best.precision * recall) / (best.precision + recall);
  const ap = averagePrecision(ranked) * found;
  return {
    score: ap,
    metrics: { average_precision: ap, f1, precision: best.precision, recall, threshold: best.threshold },
  };
}
