import type { Command } from '../command.ts';
import { evaluationCommand } from '../evaluation/evaluation-command.ts';

export const evaluateRetrieval: Command = evaluationCommand({
  name: 'retrieval',
  summary: 'Does a search find the document that answers a query? (NDCG, MRR, recall and others)',
  files:
    'CSV, TSV, JSON lines or Parquet: a query, a document that answers it. The documents of all rows are the corpus.',
  columns: ['query', 'document'],
  count: [1, 1],
  example: {
    line: 'sentvec evaluate retrieval questions.csv --columns question,answer',
    does: 'Searches each question among all answers',
  },
  async evaluate(embed, [table], embedder) {
    const { evaluateRetrieval: evaluate, retrievalTask } = await import('@sentvec/training');
    const [queries = [], documents = []] = table ?? [];
    return evaluate(embed, retrievalTask(queries, documents), embedder.similarityFunction);
  },
});
