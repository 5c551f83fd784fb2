// Measures the quality of search stages on BANKING77: vector search, BM25, and both fused. See README.md.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { onnx } from '@sentvec/backend-onnx';
import { loadEmbedder } from '@sentvec/core/node';
import { readTable } from '@sentvec/corpus';
import { useLite } from '@sentvec/model-use-lite';
import { bm25Stage, denseStage, evaluateSearch, type RetrievalTask } from '@sentvec/training';
import { printReport } from './report.ts';

const { values } = parseArgs({ options: { json: { type: 'boolean', default: false } } });

const file = fileURLToPath(new URL('../../../shared/data/banking77/train.csv', import.meta.url));
if (!existsSync(file)) {
  console.log('Skipped: BANKING77 was not found in ../shared/data. It is not distributed with the project.');
  process.exit(0);
}

/**
 * The first questions of each category are the queries; the next ones of the same category are the relevant documents.
 */
const asking = 5;
const answering = 40;

const { columns, classes = [] } = await readTable({ file, columns: ['text'], label: 'category', labelKind: 'class' });
const questionsOf = new Map<string, string[]>(classes.map((category) => [category, []]));
for (const [row, text] of columns[0]!.entries()) questionsOf.get(classes[row]!)!.push(text);
const task = taskOf([...questionsOf.values()]);
const embedder = await loadEmbedder(await useLite(), { backend: onnx() });
const dense = denseStage(async (each, { as } = {}) => (await embedder.embed(each, { as })).vectors);
const { metrics } = await evaluateSearch(task, [dense, bm25Stage()], { hybrid: true });
await embedder.dispose();

const rows = ['cosine', 'bm25', 'hybrid'].map((stage) => [
  stage,
  ...['ndcg@10', 'mrr@10', 'recall@10'].map((name) => metrics[`${stage}_${name}`]!.toFixed(4)),
]);
printReport(
  {
    method: `BANKING77, ${Object.keys(task.queries).length} queries, ${Object.keys(task.corpus).length} documents`,
    tables: [{ header: ['by', 'NDCG@10', 'MRR@10', 'recall@10'], rows }],
    results: metrics,
  },
  values.json,
);

function taskOf(categories: readonly (readonly string[])[]): RetrievalTask {
  const queries: Record<string, string> = {};
  const corpus: Record<string, string> = {};
  const relevant: Record<string, string[]> = {};
  for (const [category, questions] of categories.entries()) {
    const documents = questions
      .slice(asking, asking + answering)
      .map((text, row) => [`d${category}-${row}`, text] as const);
    Object.assign(corpus, Object.fromEntries(documents));
    for (const [row, text] of questions.slice(0, asking).entries()) {
      queries[`q${category}-${row}`] = text;
      relevant[`q${category}-${row}`] = documents.map(([id]) => id);
    }
  }
  return { queries, corpus, relevant };
}
