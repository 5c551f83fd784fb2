import type { Command } from '../command.ts';
import { evaluationCommand } from '../evaluation/evaluation-command.ts';

export const evaluateRetrieval: Command = evaluationCommand({
  name: 'retrieval',
  summary: 'Does a search find the document that answers a query? (NDCG, MRR, recall and others)',
  files: 'CSV, TSV, JSON lines or Parquet: a query, a document that answers it. The documents of all rows are the corpus.',
  columns: ['query', 'document'],
  count: [1, 1],
  example: { line: 'sentvec evaluate retrieval questions.csv --columns question,answer', does: 'Searches each question among all answers' },
  async evaluate(embed, [table], embedder) {
    const { evaluateRetrieval: evaluate } = await import('@sentvec/training');
    const [queries = [], documents = []] = table ?? [];
    const corpusIds = idsOf(documents);
    const queryIds = idsOf(queries);
    const relevant: Record<string, string[]> = {};
    for (const [row, query] of queries.entries()) (relevant[queryIds.get(query)!] ??= []).push(corpusIds.get(documents[row]!)!);
    return evaluate(embed, { queries: byId(queryIds), corpus: byId(corpusIds), relevant }, embedder.similarityFunction);
  },
});

/** An id for each different text. */
function idsOf(texts: readonly string[]): Map<string, string> {
  return new Map([...new Set(texts)].map((text, index) => [text, `#${index}`]));
}

function byId(ids: ReadonlyMap<string, string>): Record<string, string> {
  return Object.fromEntries([...ids].map(([text, id]) => [id, text]));
}
