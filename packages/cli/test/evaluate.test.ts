import { readFileSync } from 'node:fs';
import { goldenExpectation, goldenModel, goldenPath } from '@sentvec/testing';
import { expect, it } from 'vitest';
import { Workplace } from './sentvec.ts';

const place = new Workplace();

const cats = [
  'A cat sleeps in the sun.',
  'The kitten is napping.',
  'My cat lies on the sofa.',
  'A small cat dozes.',
  'Cats sleep all day.',
];
const banks = [
  'The bank raised interest rates.',
  'Rates of interest went up.',
  'Loans are more expensive now.',
  'The central bank acted.',
  'Banks charge more interest.',
];
const metricsOf = async (words: string[]) =>
  (JSON.parse(await place.succeed([...words, '--json'])) as { metrics: Record<string, number> }).metrics;

it('evaluate triplet: prints the accuracy', async () => {
  const rows = cats.slice(1).map((positive, i) => ({ anchor: cats[0], positive, negative: banks[i] }));
  await place.writeRows('triplets.jsonl', [...rows, { anchor: banks[0], positive: cats[0], negative: banks[1] }]);
  expect((await metricsOf(['evaluate', 'triplet', 'triplets.jsonl']))['accuracy_cosine']).toBeCloseTo(4 / 5, 10);
});

it('evaluate retrieval: searches each question among all answers', async () => {
  await place.writeRows('questions.jsonl', [
    { question: 'What is my cat doing?', answer: 'The kitten is napping.' },
    { question: 'Did the interest rates change?', answer: 'The bank raised interest rates.' },
  ]);
  const metrics = await metricsOf(['evaluate', 'retrieval', 'questions.jsonl', '--columns', 'question,answer']);
  expect(metrics).toMatchObject({ 'cosine_accuracy@1': 1, 'cosine_ndcg@10': 1, 'cosine_mrr@10': 1 });
});

it('evaluate retrieval: reads a BEIR folder and prints one column per stage', async () => {
  const words = ['evaluate', 'retrieval', goldenPath('retrieval'), '--model', goldenModel('st6-bert').directory];
  const stages = ['--hybrid', '--rerank', goldenModel('late-bert').directory, '--backend', 'onnx'];
  const { stdout, stderr } = await place.run([...words, ...stages, '--at-k', '1,10', '--json']);
  expect(stderr).toContain('1 judged documents of test are not in the corpus');
  const { metrics, tasks, score } = JSON.parse(stdout) as {
    metrics: Record<string, number>;
    tasks: object[];
    score: number;
  };
  expect(metrics['cosine_ndcg@10']).toBeCloseTo(0.1130455705800274, 6);
  expect(Object.keys(metrics).filter((name) => name.endsWith('ndcg@10'))).toEqual([
    'cosine_ndcg@10',
    'bm25_ndcg@10',
    'hybrid_ndcg@10',
    'reranked_ndcg@10',
  ]);
  expect(score).toBe(metrics['reranked_ndcg@10']);
  expect(tasks).toEqual([{ name: 'test', queries: 12, documents: 48, metrics }]);
  expect((await place.run([...words, '--columns', 'a,b'])).stderr).toContain('--columns is for files');
  const text = await place.succeed([...words, '--split', 'test', '--backend', 'onnx']);
  expect(text).toMatch(/^test: 12 queries, 48 documents\n +cosine\naccuracy@1 +0\.0000\n/);
});

it('evaluate classification and clustering: prints metrics for classes that differ in meaning', async () => {
  const rows = cats.flatMap((cat, i) => [
    { text: cat, label: 'cat' },
    { text: banks[i], label: 'bank' },
  ]);
  await place.writeRows('classes.jsonl', rows);
  expect(await metricsOf(['evaluate', 'classification', 'classes.jsonl'])).toEqual({
    knn_accuracy: 1,
    linear_accuracy: 1,
  });
  expect((await metricsOf(['evaluate', 'clustering', 'classes.jsonl']))['v_measure']).toBeCloseTo(1, 10);
});

it('mine-negatives: writes similar texts that are not the positive, as training rows', async () => {
  const pairs = [
    { anchor: 'What is my cat doing?', positive: cats[0] },
    { anchor: 'What is my cat doing?', positive: cats[1] },
    { anchor: 'Did the interest rates change?', positive: banks[0] },
    { anchor: 'Who lies on the sofa?', positive: cats[2] },
  ];
  await place.writeRows('pairs.jsonl', pairs);
  await place.succeed([
    'mine-negatives',
    'pairs.jsonl',
    '--output',
    'mined.jsonl',
    '--negatives',
    '1',
    '--range-max',
    '5',
  ]);
  const mined = await place.readLines<Record<string, string>>('mined.jsonl');
  expect(mined.map(({ anchor, positive }) => ({ anchor, positive }))).toEqual(pairs);
  // Both answers about the cat are correct, so the nearest wrong answer is the one about the sofa.
  expect(mined[0]).toMatchObject({ negative_1: cats[2] });
  expect(mined[1]).toMatchObject({ negative_1: cats[2] });
});

it('mine-negatives: selects by the scores of a reranker, and writes them as labels', async () => {
  const pairs = [
    { anchor: 'What is my cat doing?', positive: cats[0] },
    { anchor: 'Did the interest rates change?', positive: banks[0] },
    { anchor: 'Who lies on the sofa?', positive: cats[2] },
  ];
  await place.writeRows('scored-pairs.jsonl', pairs);
  const reranker = goldenPath('models/rerank-bert-1-label');
  const options = ['--negatives', '2', '--range-max', '5', '--rerank', reranker, '--scores'];
  await place.succeed(['mine-negatives', 'scored-pairs.jsonl', '--output', 'scored.jsonl', ...options]);
  const mined = await place.readLines<{ negative_1: string; scores: number[] }>('scored.jsonl');
  expect(mined).toHaveLength(3);
  for (const { scores } of mined) {
    expect(scores).toHaveLength(3);
    expect(scores[1]).toBeGreaterThanOrEqual(scores[2]!);
  }
});

it('label: writes the teacher vectors of the first text or of all texts', async () => {
  const { cases } = goldenExpectation('st6-bert');
  const rows = [0, 1, 2].map((row) => ({ text: cases[row]!.text, other: cases[row + 1]!.text, id: row }));
  await place.writeRows('texts.jsonl', rows);
  const teacher = ['--model', goldenPath('models/st6-bert'), '--columns', 'text,other'];
  await place.succeed(['label', 'texts.jsonl', ...teacher, '--output', 'first.jsonl']);
  await place.succeed(['label', 'texts.jsonl', ...teacher, '--vectors', 'all', '--label', 'guide', '-o', 'all.jsonl']);
  const first = await place.readLines<{ text: string; other: string; label: number[] }>('first.jsonl');
  const all = await place.readLines<{ guide: number[] }>('all.jsonl');
  expect(first.map(({ text, other }) => ({ text, other }))).toEqual(rows.map(({ text, other }) => ({ text, other })));
  for (const [row, { label }] of first.entries()) {
    const gap = Math.max(...cases[row]!.embedding.map((entry, i) => Math.abs(entry - label[i]!)));
    expect(gap).toBeLessThan(5e-5);
    expect(all[row]!.guide.slice(0, label.length)).toEqual(label);
    expect(all[row]!.guide).toHaveLength(2 * label.length);
  }
});

it('label: writes the scores of a reranker or the similarities of an embedder', async () => {
  const { cases } = JSON.parse(readFileSync(goldenPath('models/rerank-bert-1-label/expected.json'), 'utf8')) as {
    readonly cases: readonly {
      readonly query: string;
      readonly document: string;
      readonly logits: readonly number[];
    }[];
  };
  const rows = cases.slice(0, 3).map(({ query, document }) => ({ query, document, other: cats[0]! }));
  await place.writeRows('judged.jsonl', rows);
  const reranker = ['--model', goldenPath('models/rerank-bert-1-label'), '--raw'];
  await place.succeed(['label', 'judged.jsonl', ...reranker, '--columns', 'query,document', '-o', 'one.jsonl']);
  await place.succeed(['label', 'judged.jsonl', ...reranker, '--columns', 'query,document,other', '-o', 'two.jsonl']);
  const one = await place.readLines<{ label: number }>('one.jsonl');
  const two = await place.readLines<{ label: number[] }>('two.jsonl');
  for (const [row, { label }] of one.entries()) {
    expect(label).toBeCloseTo([cases[row]!.logits].flat()[0]!, 4);
    expect(two[row]!.label).toHaveLength(2);
    expect(two[row]!.label[0]).toBeCloseTo(label, 4);
  }
  const embedder = ['--model', goldenPath('models/st6-bert'), '--scores', '--columns', 'query,document'];
  await place.succeed(['label', 'judged.jsonl', ...embedder, '-o', 'alike.jsonl']);
  const alike = await place.readLines<{ label: number }>('alike.jsonl');
  expect(alike.every(({ label }) => label >= -1 && label <= 1)).toBe(true);
  for (const [more, message] of [
    [[...reranker, '--columns', 'query'], 'Scores need at least two columns'],
    [[...embedder, '--raw'], 'Remove --raw'],
    [[...embedder, '--label', 'query'], 'Choose another name for the label'],
  ] as const) {
    const { code, stderr } = await place.run(['label', 'judged.jsonl', ...more, '-o', 'refused.jsonl']);
    expect(code).toBe(2);
    expect(stderr).toContain(message);
  }
});

it('the error for a missing column lists the existing ones', async () => {
  const { code, stderr } = await place.run(['evaluate', 'triplet', 'triplets.jsonl', '--columns', 'a,b,c']);
  expect(code).toBe(1);
  expect(stderr).toContain('row 0 (line 1): There is no field "a"; the row has anchor, positive, negative');
});
