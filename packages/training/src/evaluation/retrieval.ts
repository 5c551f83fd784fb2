import { informationRetrieval, type InformationRetrievalOptions, type SimilarityFunction } from '@sentvec/core';
import { withPrompt, type EmbedTexts, type SearchPrompts } from '../embed-texts.ts';
import type { Evaluation } from '../training-request.ts';

/** Texts by id, and which of the corpus answer which query. */
export interface RetrievalTask {
  readonly queries: Readonly<Record<string, string>>;
  readonly corpus: Readonly<Record<string, string>>;
  /** Ids of the corpus by the id of the query. */
  readonly relevant: Readonly<Record<string, readonly string[]>>;
}

/**
 * The task of finding, for each query, the documents that stand in a row with it. The documents of all rows are the
 * corpus; row i of both belongs together.
 */
export function retrievalTask(queries: readonly string[], documents: readonly string[]): RetrievalTask {
  const corpusIds = idsOf(documents);
  const queryIds = idsOf(queries);
  const relevant: Record<string, string[]> = {};
  for (const [row, query] of queries.entries())
    (relevant[queryIds.get(query)!] ??= []).push(corpusIds.get(documents[row]!)!);
  return { queries: byId(queryIds), corpus: byId(corpusIds), relevant };
}

/** An id for each different text. */
function idsOf(texts: readonly string[]): Map<string, string> {
  return new Map([...new Set(texts)].map((text, index) => [text, `#${index}`]));
}

function byId(ids: ReadonlyMap<string, string>): Record<string, string> {
  return Object.fromEntries([...ids].map(([text, id]) => [id, text]));
}

/**
 * Search for each query: the metrics of `informationRetrieval`; `score` is NDCG at 10 of the model's own similarity.
 */
export async function evaluateRetrieval(
  embed: EmbedTexts,
  { queries, corpus, relevant }: RetrievalTask,
  similarity: SimilarityFunction = 'cosine',
  { queryPrompt, corpusPrompt, ...options }: InformationRetrievalOptions & SearchPrompts = {},
): Promise<Evaluation> {
  const metrics = await informationRetrieval(
    {
      queries: await withPrompt(embed, queryPrompt)(Object.values(queries)),
      queryIds: Object.keys(queries),
      corpus: await withPrompt(embed, corpusPrompt)(Object.values(corpus)),
      corpusIds: Object.keys(corpus),
      relevant,
    },
    { similarities: [similarity], ...options },
  );
  return { score: metrics[`${similarity}_ndcg@10`] ?? Math.max(...Object.values(metrics)), metrics };
}
