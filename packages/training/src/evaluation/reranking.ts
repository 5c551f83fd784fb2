import { similarity as similarityMatrix, type SimilarityFunction } from '@sentvec/core';
import { withPrompt, type EmbedTexts, type SearchPrompts } from '../embed-texts.ts';
import type { Evaluation } from '../training-request.ts';
import { averagePrecision, discountedGain, rankLabels } from './ranked-labels.ts';

/** A query with documents that answer it and others that do not. */
export interface RerankingSample {
  readonly query: string;
  readonly positive: readonly string[];
  readonly negative: readonly string[];
}

/** A sample for each different query, of rows with a query, a document, and 1 when it answers or 0 when it does not. */
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
 * Orders the documents of each query: mean average precision (`score`), MRR and NDCG at k, default 10. As
 * `RerankingEvaluator` of sentence-transformers.
 */
export async function evaluateReranking(
  embed: EmbedTexts,
  samples: readonly RerankingSample[],
  similarity: SimilarityFunction = 'cosine',
  k = 10,
  { queryPrompt, corpusPrompt }: SearchPrompts = {},
): Promise<Evaluation> {
  const usable = samples.filter(({ positive, negative }) => positive.length > 0 && negative.length > 0);
  const [embedQuery, embedDocuments] = [withPrompt(embed, queryPrompt), withPrompt(embed, corpusPrompt)];
  const totals = { map: 0, [`mrr@${k}`]: 0, [`ndcg@${k}`]: 0 };
  for (const { query, positive, negative } of usable) {
    const documents = [...positive, ...negative];
    const scores = similarityMatrix(await embedQuery([query]), await embedDocuments(documents), similarity).data;
    const ranked = rankLabels(
      scores,
      Array.from(documents, (_, i) => Number(i < positive.length)),
    );
    const first = ranked.labels.indexOf(1);
    totals.map += averagePrecision(ranked) / usable.length;
    totals[`mrr@${k}`]! += (first < k ? 1 / (first + 1) : 0) / usable.length;
    totals[`ndcg@${k}`]! += discountedGain(ranked.labels, k) / usable.length;
  }
  return { score: totals.map, metrics: totals };
}
