// node main.mjs DATA [FOLDER]: questions to a bank are searched by meaning, by words and by both, each with and without
// a cross-encoder that sorts what was found. README.md has the numbers.
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { onnx } from '@sentvec/backend-onnx';
import { retrievalMetrics } from '@sentvec/core';
import { directoryModel, loadEmbedder, loadReranker } from '@sentvec/core/node';
import { embedCorpus, openIndex } from '@sentvec/corpus';
import { useLite } from '@sentvec/model-use-lite';
import { parseTrainingConfig, trainFromConfig } from '@sentvec/training/node';
import { readQuestions, trainingPairs } from './questions.mjs';

const [data = 'data', folder = 'search-and-rerank'] = process.argv.slice(2).map((path) => resolve(path));
const { ASKED: asked = '2', TRAINED: trained = '12', EPOCHS: epochs = '1', SEED: seed = '42' } = process.env;
const file = join(data, 'banking77/train.csv');
if (!existsSync(file)) {
  console.error(`${file} is not there. Name the folder of the data: node main.mjs DATA [FOLDER]. The file is
  https://github.com/PolyAI-LDN/task-specific-datasets, banking_data/train.csv`);
  process.exit(1);
}
await mkdir(folder, { recursive: true });
const lines = (rows) => rows.map((row) => `${JSON.stringify(row)}\n`).join('');

const { queries, documents, others } = await readQuestions(file, { asked: Number(asked), trained: Number(trained) });
console.log(`${queries.length} queries, ${documents.length} documents, ${others.length} questions to learn from`);
await writeFile(join(folder, 'documents.jsonl'), lines(documents));

const base = await loadEmbedder(await useLite(), { backend: onnx() });
await writeFile(join(folder, 'pairs.jsonl'), lines(await trainingPairs(base, others, Number(seed))));
await writeFile(join(folder, 'others.jsonl'), lines(others));
await train('embedder', {
  model: 'use-lite',
  data: [
    {
      file: 'others.jsonl',
      columns: ['text'],
      label: 'category',
      fromClasses: { make: 'pairs', perText: 2 },
      loss: 'MultipleNegativesRankingLoss',
      sampler: 'noDuplicates',
    },
  ],
  batchSize: 32,
});
const labelled = { file: 'pairs.jsonl', columns: ['first', 'second'], label: 'same', loss: 'BinaryCrossEntropyLoss' };
await train('reranker', { model: 'embedder', kind: 'reranker', data: [labelled] });

const reranker = await loadReranker(join(folder, 'reranker'), { backend: onnx() });
const sorting = remembering(reranker);
const tuned = await loadEmbedder(join(folder, 'embedder'), { backend: onnx() });
const searched = [
  { name: 'default model', embedder: base, output: join(folder, 'vectors') },
  { name: 'trained embedder', embedder: tuned, output: join(folder, 'vectors-of-embedder') },
];
for (const { name, embedder, output } of searched) {
  const request = { inputs: [join(folder, 'documents.jsonl')], output, columns: ['text', 'category'], overwrite: true };
  await embedCorpus(request, embedder);
  console.log(`\n${name}: NDCG@10, and with the reranker`);
  const plain = await openIndex(output, { embedder });
  const sorted = await openIndex(output, { embedder, reranker: sorting });
  for (const by of ['meaning', 'words', 'both'])
    console.log(`  ${by.padEnd(8)} ${(await judge(plain, by)).toFixed(4)}  ${(await judge(sorted, by)).toFixed(4)}`);
}
await Promise.all([base.dispose(), tuned.dispose(), reranker.dispose()]);

/** NDCG at 10 of a search: a document is right when it is of the category of the query. */
async function judge(index, by) {
  const rankings = [];
  for (const { text, category } of queries) {
    const hits = await index.search(text, { by, topK: 10, candidates: 50 });
    const relevant = documents.flatMap((document, row) => (document.category === category ? [row] : []));
    rankings.push({ found: hits.map(({ row }) => row), relevant: new Set(relevant) });
  }
  return retrievalMetrics(rankings, { ndcgAtK: [10] })['ndcg@10'];
}

/** The reranker; scores of a pair are computed once for all searches of this comparison. */
function remembering(model) {
  const known = new Map();
  const scoresOf = (query) => known.get(query) ?? known.set(query, new Map()).get(query);
  return {
    async rank(query, texts, { topK, signal }) {
      const scores = scoresOf(query);
      const missing = texts.filter((text) => !scores.has(text));
      if (missing.length > 0) {
        const found = await model.score(
          missing.map((text) => [query, text]),
          { activation: 'Identity', signal },
        );
        for (const [index, text] of missing.entries()) scores.set(text, found.scores.data[index]);
      }
      const ranked = texts.map((text, row) => ({ row, score: scores.get(text) }));
      return ranked.sort((a, b) => b.score - a.score).slice(0, topK);
    },
  };
}

/** Trains a model into the folder, unless it is there. */
async function train(name, settings) {
  if (existsSync(join(folder, name))) return console.log(`${name}: is in ${folder} already`);
  const config = {
    batchSize: 16,
    epochs: Number(epochs),
    learningRate: 2e-4,
    seed: Number(seed),
    ...settings,
    output: name,
  };
  await writeFile(join(folder, `${name}.json`), `${JSON.stringify(config, undefined, 2)}\n`);
  const started = performance.now();
  // The same as the command: sentvec train NAME.json
  await trainFromConfig(parseTrainingConfig(config, `${name}.json`), {
    directory: folder,
    openModel: (model) => (model === 'use-lite' ? useLite() : directoryModel(join(folder, model))),
    onProgress: ({ step, totalSteps, loss }) => {
      if (step % 50 === 0) console.log(`  step ${step} of ${totalSteps}, loss ${loss.toFixed(3)}`);
    },
  });
  console.log(`${name}: trained in ${((performance.now() - started) / 1000).toFixed(0)} s`);
}
