import { readFileSync } from 'node:fs';
import { plainBackend } from '@sentvec/architectures';
import { loadModel, SentvecError, type SearchHit } from '@sentvec/core';
import { readRetrievalData } from '@sentvec/corpus';
import { goldenModel, goldenPath } from '@sentvec/testing';
import {
  bm25Stage,
  denseStage,
  evaluateSearch,
  lateInteractionStage,
  sparseStage,
  type FirstStage,
  type RetrievalTask,
} from '@sentvec/training';
import { expect, it } from 'vitest';

const expected = JSON.parse(readFileSync(goldenPath('retrieval/expected.json'), 'utf8')) as Record<
  string,
  Record<string, number>
>;

async function goldenTask(): Promise<RetrievalTask> {
  const [task] = await readRetrievalData(goldenPath('retrieval'));
  return task!;
}

it.each(Object.keys(expected))('%s: the metrics of sentence-transformers', async (name) => {
  const model = await loadModel(goldenModel(name), { backend: plainBackend() });
  if (model.kind === 'reranker') throw new Error('A reranker is not a first stage.');
  const stage =
    model.kind === 'sparse'
      ? sparseStage(model)
      : model.kind === 'multi-vector'
        ? lateInteractionStage(model)
        : denseStage(async (texts, { as } = {}) => (await model.embed(texts, { as })).vectors);
  const { metrics } = await evaluateSearch(await goldenTask(), [stage]);
  await model.dispose();
  expect(Object.keys(metrics).sort()).toEqual(Object.keys(expected[name]!).sort());
  const differences = Object.entries(metrics).map(([metric, value]) => Math.abs(value - expected[name]![metric]!));
  expect(Math.max(...differences)).toBeLessThan(1e-12);
});

/** A fake stage that ranks documents by a number in their text. */
const byNumber: FirstStage = {
  names: ['number'],
  search: async (queries, { topK, blocks }) => {
    const texts = [...blocks].flat();
    const order = texts.map((text, row): SearchHit => ({ row, score: Number(text.match(/\d+/)?.[0] ?? 0) }));
    return [queries.map(() => order.toSorted((a, b) => b.score - a.score).slice(0, topK))];
  },
};

const task: RetrievalTask = {
  queries: { q: 'cat', p: 'dog', unjudged: 'cow' },
  corpus: { a: 'a cat 1', b: 'a dog 2', c: 'a cow 3', d: 'nothing 4' },
  relevant: { q: ['a', 'a', 'gone'], p: ['b'], unjudged: [] },
};

it('evaluates each stage: BM25, hybrid and reranked; distractors count as irrelevant', async () => {
  const asked: string[][] = [];
  const reranker = {
    async rank(query: string, documents: readonly string[]) {
      asked.push([...documents]);
      return documents
        .map((document, row) => ({ row, score: Number(document.includes(query)) }))
        .toSorted((x, y) => y.score - x.score);
    },
  };
  const options = { hybrid: true, reranker, distractors: ['more 9', 'more 9', 'a cat 1', 'less 0'] };
  const { score, metrics } = await evaluateSearch(task, [byNumber, bm25Stage()], options);
  // The ranking by number is: more 9, nothing 4, c, b, a, less 0. A relevant document that is not in the corpus is
  // never found.
  expect(metrics['number_mrr@10']).toBeCloseTo((1 / 5 + 1 / 4) / 2, 12);
  expect(metrics['number_recall@5']).toBeCloseTo((1 / 2 + 1) / 2, 12);
  expect(metrics['bm25_mrr@10']).toBe(1);
  expect(metrics['hybrid_mrr@10']).toBe(1);
  expect(metrics['reranked_accuracy@1']).toBe(1);
  expect(score).toBe(metrics['reranked_ndcg@10']);
  expect(asked.map((documents) => documents.length)).toEqual([6, 6]);
  const few = await evaluateSearch(task, [byNumber], { reranker, candidates: 2 });
  expect(asked.at(-1)).toEqual(['nothing 4', 'a cow 3']);
  expect(few.metrics['reranked_mrr@10']).toBe(few.metrics['number_mrr@10']);
});

it('equal scores are ranked by id, also across blocks', async () => {
  const count = 4100;
  const corpus = Object.fromEntries(Array.from({ length: count }, (_, i) => [`${count - i}`, 'same']));
  const embed = async (texts: readonly string[]) => ({
    data: new Float32Array(texts.length).fill(1),
    rows: texts.length,
    cols: 1,
  });
  const sorted = Object.keys(corpus).sort();
  const same = { queries: { q: 'same' }, corpus, relevant: { q: [sorted[4]!] } };
  const { metrics } = await evaluateSearch(same, [denseStage(embed)]);
  expect(metrics['cosine_mrr@10']).toBeCloseTo(1 / 5, 12);
});

it('refuses duplicate stage names, an empty list of stages, and a task without a relevant document', async () => {
  const refused = (work: Promise<unknown>) =>
    expect(work).rejects.toSatisfy((error) => SentvecError.is(error, 'invalid-argument'));
  await refused(evaluateSearch(task, []));
  await refused(evaluateSearch(task, [byNumber, byNumber]));
  await refused(evaluateSearch({ ...task, relevant: {} }, [byNumber]));
  await refused(evaluateSearch(task, [byNumber], { rerank: true } as object));
});
