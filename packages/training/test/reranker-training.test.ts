import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { plainBackend } from '@sentvec/architectures';
import { onnx } from '@sentvec/backend-onnx';
import { pairwiseSimilarity, spearmanCorrelation, type ModelFiles } from '@sentvec/core';
import { directoryModel, loadEmbedder, loadReranker } from '@sentvec/core/node';
import { useLite } from '@sentvec/model-use-lite';
import { goldenPath } from '@sentvec/testing';
import {
  binaryCrossEntropyLoss,
  checkTrainingSet,
  withFreshScores,
  withTermWeights,
  withTokenVectors,
} from '@sentvec/training';
import { evaluatePairClassification, evaluatePairReranking } from '../src/evaluation/scored-pairs.ts';
import { readEvaluation } from '../src/node/configured-evaluation.ts';
import { jsonLines, samplePairs } from './sample-pairs.ts';
import { errorOf, pairs, TrainingFolder } from './training-folder.ts';

const place = new TrainingFolder();
const golden = (name: string) => goldenPath(`models/${name}`);
const examples = samplePairs(160);

/** Returns Spearman's correlation between the scores of a saved model and the labels of the examples. */
async function correlationOf(folder: string | ModelFiles, backend = onnx()): Promise<number> {
  const reranker = await loadReranker(folder, { backend });
  const { scores } = await reranker.score(examples.map(({ a, b }) => [a, b]));
  await reranker.dispose();
  return spearmanCorrelation(
    scores.data,
    examples.map(({ score }) => score),
  );
}

test('an encoder becomes a reranker, whose folder computes the scores that training reported', async () => {
  const data = [{ ...pairs, loss: 'BinaryCrossEntropyLoss' }];
  const config = place.config('reranker', { kind: 'reranker', data, epochs: 4, learningRate: 3e-3 });
  const { output, outcome } = await place.run(config);
  const [before, ...after] = outcome.history.evaluations;
  const best = Math.max(...after.map(({ score }) => score));
  expect(best).toBeGreaterThan(before!.score + 0.1);
  expect(await correlationOf(output)).toBeCloseTo(best, 4);
  expect(await correlationOf(output, plainBackend())).toBeCloseTo(best, 4);
  const card = await readFile(join(output, 'README.md'), 'utf8');
  expect(card).toContain('CrossEncoder("./reranker")');
  expect(card).toContain("loadReranker('./reranker'");
});

test('a reranker run that is stopped and resumed has the same final weights', async () => {
  const data = [{ ...pairs, columns: ['a', 'b'], label: undefined, loss: 'MultipleNegativesRankingLoss' }];
  const config = (output: string) =>
    place.config(output, { kind: 'reranker', data, epochs: 1, cachedExamples: 5, maxSteps: 6 });
  const { output } = await place.run(config('whole'));
  const controller = new AbortController();
  const onProgress = ({ step }: { readonly step: number }) => step === 3 && controller.abort();
  expect((await errorOf(() => place.run(config('stopped'), { signal: controller.signal, onProgress }))).code).toBe(
    'aborted',
  );
  const resumed = await place.run(config('stopped'), { resume: true });
  const weights = (folder: string) => readFile(join(folder, 'model.safetensors'));
  expect((await weights(resumed.output)).equals(await weights(output))).toBe(true);
});

test('a reranker learns three labels that are strings', async () => {
  const labels = ['entailment', 'neutral', 'contradiction'];
  const rows = examples.map(({ a, b, score }) => ({ a, b, label: labels[score > 0.66 ? 0 : score > 0.33 ? 1 : 2] }));
  await place.write('labelled.jsonl', jsonLines(rows));
  const labelled = { file: 'labelled.jsonl', columns: ['a', 'b'], label: 'label' };
  const data = [{ ...labelled, loss: 'CrossEntropyLoss' }];
  const evaluation = { ...labelled, type: 'classification' };
  const config = { kind: 'reranker', labels, data, evaluation, epochs: 4, learningRate: 3e-3 };
  const { output, outcome } = await place.run(place.config('three', config));
  const scores = outcome.history.evaluations.map(({ score }) => score);
  expect(Math.max(...scores)).toBeGreaterThan(scores[0]! + 0.1);
  const reranker = await loadReranker(output, { backend: onnx() });
  expect(reranker.labels).toEqual(labels);
  const { scores: found } = await reranker.score(rows.map(({ a, b }) => [a, b]));
  const right = rows.filter(({ label }, row) => {
    const own = found.data.subarray(row * 3, row * 3 + 3);
    return own.indexOf(Math.max(...own)) === labels.indexOf(label!);
  });
  expect(right.length / rows.length).toBeCloseTo(Math.max(...scores), 6);
  await reranker.dispose();
  const three = {
    model: output,
    kind: 'reranker',
    data: [{ ...pairs, loss: 'BinaryCrossEntropyLoss' }],
    evaluation: undefined,
  };
  expect((await errorOf(() => place.run(place.config('one', three)))).message).toContain('needs a model with 1 label');
});

test('a reranker learns from lists of different lengths', async () => {
  const rows = examples.flatMap(({ a, b, score }, row) => {
    const list = [{ query: a, document: b, relevance: score }];
    for (let more = 0; more < 1 + (row % 3); more++)
      list.push({ query: a, document: `${b} ${'x '.repeat(more + 1)}`, relevance: 0 });
    return list;
  });
  await place.write('lists.jsonl', jsonLines(rows));
  const list = { file: 'lists.jsonl', columns: ['query', 'document'], label: 'relevance' };
  const data = [{ ...list, loss: 'LambdaLoss' }];
  // The documents of a list differ only at their end, beyond the default length of the encoder.
  const config = { kind: 'reranker', data, evaluation: undefined, epochs: 3, learningRate: 3e-3, maxLength: 40 };
  const { outcome } = await place.run(place.config('lists', config));
  const losses = outcome.history.steps.map((step) => step.loss);
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  expect(mean(losses.slice(-5))).toBeLessThan(mean(losses.slice(0, 5)));
});

test.each(['rerank-albert', 'rerank-deberta-v3-3', 'rerank-pooled-dense'])(
  '%s is fine-tuned: head and encoder change, and its folder computes the scores that training reported',
  async (name) => {
    const labels = (await loadReranker(golden(name), { backend: plainBackend() })).labels.length;
    const score = (row: number) => examples[row]!.score;
    const rows = examples.map(({ a, b }, row) => ({ a, b, score: labels === 1 ? score(row) : [score(row), 0.5, 0.5] }));
    await place.write(`${name}.jsonl`, jsonLines(rows));
    const data = [{ ...pairs, file: `${name}.jsonl`, loss: 'BinaryCrossEntropyLoss' }];
    const config = { model: golden(name), kind: 'reranker', data, maxSteps: 8, evaluateEvery: 8, learningRate: 5e-3 };
    const { output, outcome } = await place.run(place.config(name, config));
    if (labels > 1) return;
    const last = outcome.history.evaluations.find(({ step }) => step === outcome.bestStep)!;
    expect(await correlationOf(output)).toBeCloseTo(last.score, 3);
  },
);

test.each([
  'tiny-albert',
  'tiny-deberta-v3',
  'tiny-electra',
  'tiny-modernbert-mean',
  'tiny-mpnet',
  'st6-distilbert',
  'tiny-roberta',
  'tiny-squeezebert',
  'tiny-roformer',
  'tiny-ernie',
  'tiny-megatron-bert',
  'tiny-camembert',
  'tiny-data2vec-text',
  'st6-xlmr',
  'tiny-xlmr-xl',
])('a new head on %s can be loaded', async (name) => {
  const files = await withFreshScores(await directoryModel(golden(name)), { labels: ['no', 'yes'] });
  const reranker = await loadReranker(files, { backend: plainBackend() });
  const { scores } = await reranker.score([['a text', 'another text']]);
  expect(scores.data.every((value) => Number.isFinite(value))).toBe(true);
  expect(reranker.labels).toEqual(['no', 'yes']);
  await reranker.dispose();
});

test.each([
  ['scores', withFreshScores, 'tiny-bert-multipool', {}],
  ['term weights', withTermWeights, 'splade-bert-max', {}],
  ['token vectors', withTokenVectors, 'tiny-bert-multipool', { query_length: 20, document_length: 20 }],
])(
  'a model with new %s keeps the licence, the maximum length and the lower-casing of its base',
  async (_, make, name, lengths) => {
    const base = await directoryModel(golden(name));
    const added = { 'LICENSE.txt': 'terms', NOTICE: 'names' };
    const reading = { max_seq_length: 20, do_lower_case: true };
    const module = { idx: 0, name: '0', path: '', type: 'sentence_transformers.models.Transformer' };
    const changed: Record<string, string> = {
      ...added,
      'modules.json': JSON.stringify([
        module,
        { ...module, idx: 1, path: '1_Pooling', type: module.type.replace('Transformer', 'Pooling') },
      ]),
      '1_Pooling/config.json': JSON.stringify({ word_embedding_dimension: 32, pooling_mode_mean_tokens: true }),
      'config_sentence_transformers.json': '{}',
      'sentence_bert_config.json': JSON.stringify(reading),
    };
    const files: ModelFiles = {
      name: base.name,
      list: async () => [...new Set([...(await base.list()), ...Object.keys(changed)])],
      read: async (path) => (path in changed ? new TextEncoder().encode(changed[path]) : base.read(path)),
    };
    const made = await make(files);
    const text = async (path: string) => new TextDecoder().decode(await made.read(path));
    for (const [path, content] of Object.entries(added)) expect(await text(path)).toBe(content);
    const written = JSON.parse(await text('sentence_bert_config.json')) as Record<string, unknown>;
    expect(written).toMatchObject({ ...reading, ...lengths });
  },
);

// Results of CrossEncoderClassificationEvaluator, CrossEncoderRerankingEvaluator and CrossEncoderCorrelationEvaluator
// of sentence-transformers 6.1 for a model with these scores.
test('the metrics of pairs equal those of the CrossEncoder evaluators', async () => {
  const given = (numbers: readonly number[], cols: number) => async () => ({
    data: Float32Array.from(numbers),
    rows: numbers.length / cols,
    cols,
  });
  const three = given([3, 1, 0, 2, 0, 1, 0, 2, 1, 5, 4, 1], 3);
  const first = ['a', 'b', 'c', 'd'];
  const classified = await evaluatePairClassification(three, { first, second: first, classes: [0, 1, 1, 0] });
  expect(classified.metrics?.['f1_macro']).toBeCloseTo(0.7333333333333334, 7);
  const scored: Record<string, number> = { a: 0.9, b: 0.5, c: 0.7, d: 0.2, e: 0.4, f: 0.6 };
  const ranked = await evaluatePairReranking(
    async (asked) => ({ data: Float32Array.from(asked, ([, text]) => scored[text]!), rows: asked.length, cols: 1 }),
    [
      { query: 'x', positive: ['b'], negative: ['a', 'd'] },
      { query: 'y', positive: [], negative: ['c'] },
      { query: 'z', positive: ['e', 'f'], negative: [] },
    ],
  );
  expect(ranked.metrics?.['map']).toBeCloseTo(0.5, 7);
  expect(ranked.metrics?.['mrr@10']).toBeCloseTo(0.5, 7);
  expect(ranked.metrics?.['ndcg@10']).toBeCloseTo(0.5436432511904858, 7);
  const rows = [0, 0.2, 0.7, 1].map((score, row) => ({ a: first[row], b: 'x', score }));
  await place.write('four.jsonl', jsonLines(rows));
  const evaluation = { ...pairs, type: 'sts', file: 'four.jsonl', header: true } as const;
  const model = {
    kind: 'reranker',
    folder: { prompts: {}, similarityFunction: 'cosine' },
    labels: ['LABEL_0'],
  } as const;
  const { evaluate } = await readEvaluation(evaluation, { ...model, activation: 'Sigmoid' }, place.path);
  const { metrics } = await evaluate(() => expect.unreachable(), given([-4, -1, 1, 6], 1));
  expect(metrics?.['pearson']).toBeCloseTo(0.9983337969795747, 6);
});

test('the initial score of a reranker based on the default model is the cosine similarity', async () => {
  const files = await useLite();
  const embedder = await loadEmbedder(files, { backend: onnx() });
  const few = examples.slice(0, 12).map(({ a, b }, row) => [row === 5 ? a : b, `${a} Rain in ${row}.`] as const);
  const [first, second] = [await embedder.embed(few.map(([a]) => a)), await embedder.embed(few.map(([, b]) => b))];
  const cosines = pairwiseSimilarity(first.vectors, second.vectors, 'cosine');
  const reranker = await loadReranker(await withFreshScores(files), { backend: onnx() });
  const { scores } = await reranker.score(few, { activation: 'Identity' });
  // The weights of the new layer are initialized near 0.
  for (const [row, cosine] of cosines.entries())
    expect(Math.abs(scores.data[row]! - (8 * cosine - 4))).toBeLessThan(0.1);
  const alone = await reranker.score([few[1]!], { activation: 'Identity' });
  expect(alone.scores.data[0]).toBeCloseTo(scores.data[1]!, 4);
  await Promise.all([embedder.dispose(), reranker.dispose()]);
  const error = await errorOf(() => withFreshScores(files, { labels: ['no', 'yes'] }));
  expect(error.message).toContain('gives one score for a pair');
});

test('a reranker based on the default model learns, and its folder computes the scores that training reported', async () => {
  const fromScratch = {
    config: {
      model_type: 'universal-sentence-encoder-lite',
      embedding_size: 16,
      hidden_size: 32,
      intermediate_size: 24,
      num_attention_heads: 2,
    },
    vocabularySize: 100,
    maxLength: 40,
  };
  const data = [{ ...pairs, loss: 'BinaryCrossEntropyLoss' }];
  const run = { model: { fromScratch }, kind: 'reranker', data, epochs: 4, learningRate: 3e-3 };
  const { output, outcome } = await place.run(place.config('compared', run));
  const [before, ...after] = outcome.history.evaluations.map(({ score }) => score);
  expect(Math.max(...after)).toBeGreaterThan(before! + 0.1);
  expect(await correlationOf(output)).toBeCloseTo(Math.max(...after), 4);
  expect(await correlationOf(output, plainBackend())).toBeCloseTo(Math.max(...after), 4);
});

test('a part of a batch with cached gradients can consist of padding documents only', async () => {
  const rows = examples.slice(0, 16).flatMap(({ a, b, score }, row) =>
    Array.from({ length: row % 4 === 0 ? 6 : 2 }, (_, at) => ({
      query: a,
      document: `${b} ${at}`,
      score: at ? 0 : score,
    })),
  );
  await place.write('uneven.jsonl', jsonLines(rows));
  const data = [{ file: 'uneven.jsonl', columns: ['query', 'document'], label: 'score', loss: 'ListNetLoss' }];
  const config = { kind: 'reranker', data, evaluation: undefined, epochs: 1, maxSteps: 2 };
  const losses = async (output: string, changes: object) =>
    (await place.run(place.config(output, { ...config, ...changes }))).outcome.history.steps.map(({ loss }) => loss);
  const cached = await losses('in-parts', { cachedExamples: 1 });
  for (const [step, loss] of (await losses('at-once', {})).entries()) expect(cached[step]).toBeCloseTo(loss, 4);
});

test('unsupported options for rerankers are refused with a message that names them', async () => {
  const message = async (changes: object) =>
    (await errorOf(async () => place.run(place.config('refused', { kind: 'reranker', ...changes })))).message;
  const bce = { data: [{ ...pairs, loss: 'BinaryCrossEntropyLoss' }] };
  expect(await message({ data: [{ ...pairs, loss: 'CoSENTLoss' }] })).toContain(
    '"CoSENTLoss" trains models of the kind embedder',
  );
  expect(await message({ ...bce, kind: 'embedder' })).toContain(
    '"BinaryCrossEntropyLoss" trains models of the kind reranker',
  );
  expect(await message({ ...bce, model: golden('st6-static') })).toContain('static embedding');
  expect(await message({ ...bce, model: golden('rerank-qwen3-lm') })).toContain(
    'scores pairs by the logits of two tokens',
  );
  expect(await message({ ...bce, model: golden('splade-bert-max') })).toContain('Set "kind": "sparse"');
  const set = { name: 'pairs', examples: { columns: [['a'], ['b']], labels: [1] }, loss: binaryCrossEntropyLoss() };
  expect(
    (await errorOf(async () => checkTrainingSet({ ...set, prompts: ['query: ', 'text: '] }, 8))).message,
  ).toContain('column 2 has the prompt "text: "');
  checkTrainingSet({ ...set, prompts: ['query: ', ''] }, 8);
  expect(
    await message({ ...bce, kind: 'embedder', labels: ['x'], data: [{ ...pairs, loss: 'CoSENTLoss' }] }),
  ).toContain('only rerankers have "labels"');
  const swapped = { model: golden('rerank-albert'), labels: ['another'] };
  expect(await message({ ...bce, ...swapped })).toContain('is already a reranker with the labels LABEL_0');
  expect(await message({ ...bce, model: golden('tiny-t5') })).toContain('the head of the model type "t5"');
  expect(
    await message({ ...bce, evaluation: { type: 'clustering', file: 'pairs.jsonl', columns: ['a'], label: 'score' } }),
  ).toContain('clustering cannot evaluate a model of the kind reranker');
  await place.write(
    'too-large.jsonl',
    jsonLines([
      { a: 'x', b: 'y', score: 5 },
      { a: 'z', b: 'y', score: 0 },
    ]),
  );
  expect(await message({ data: [{ ...pairs, file: 'too-large.jsonl', loss: 'BinaryCrossEntropyLoss' }] })).toContain(
    'row 0 has the label 5',
  );
});
