import { similarity as similarityMatrix, type SimilarityFunction } from '@sentvec/core';
import type { EmbedTexts } from '../embed-texts.ts';
import type { Evaluation } from '../training-history.ts';
import { averagePrecision, discountedGain, rankLabels } from './ranked-labels.ts';

/** A query with documents that answer it and others that do not. */
export interface RerankingSample {
  readonly query: string;
  readonly positive: readonly string[];
  readonly negative: readonly string[];
}

/** Orders the documents of each query: mean average precision (`score`), MRR and NDCG at k, default 10. As `RerankingEvaluator` of sentence-transformers. */
export async function evaluateReranking(
  embed: EmbedTexts,
  samples: readonly RerankingSample[],
  similarity: SimilarityFunction = 'cosine',
  k = 10,
): Promise<Evaluation> {
  const usable = samples.filter(({ positive, negative }) => positive.length > 0 && negative.length > 0);
  const totals = { map: 0, [`mrr@${k}`]: 0, [`ndcg@${k}`]: 0 };
  for (const { query, positive, negative } of usable) {
    const documents = [...positive, ...negative];
    const scores = similarityMatrix(await embed([query]), await embed(documents), similarity).data;
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
