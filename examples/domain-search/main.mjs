// Usage: node main.mjs [FOLDER]. Fine-tunes the default model for a medical search, on questions, answers, and wrong
// answers that the model ranked high.
import { mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { onnx } from '@sentvec/backend-onnx';
import { semanticSearch } from '@sentvec/core';
import { loadEmbedder } from '@sentvec/core/node';
import { useLite } from '@sentvec/model-use-lite';
import { evaluateRetrieval, mineHardNegatives, retrievalTask } from '@sentvec/training';
import { parseTrainingConfig, trainFromConfig } from '@sentvec/training/node';
import { medicalQuestions } from './questions.mjs';

const folder = resolve(process.argv[2] ?? 'domain-search');
const { ANSWERS: most = 'Infinity', EPOCHS: epochs = '3' } = process.env;
const jsonLines = (rows) => rows.map((row) => `${JSON.stringify(row)}\n`).join('');

const everything = await medicalQuestions();
const answers = everything.answers.slice(0, Number(most));
const [known, asked] = [everything.known, everything.asked].map((rows) =>
  rows.filter(({ answer }) => answers.includes(answer)),
);
console.log(
  `${answers.length} answers about medicine, ${known.length} known questions, ${asked.length} new ones with names that are not in the training data`,
);
await mkdir(folder, { recursive: true });
await writeFile(join(folder, 'asked.jsonl'), jsonLines(asked));

const before = await loadEmbedder(await useLite(), { backend: onnx() });
console.log(`before: NDCG@10 of the new questions ${(await ndcgOf(before)).toFixed(3)}`);

console.log('Mining hard negatives: wrong answers that the model ranks high …');
const triplets = await mineTriplets(before, known);
await writeFile(join(folder, 'train.jsonl'), jsonLines(triplets));
const config = {
  model: 'use-lite',
  output: 'model',
  data: [{ file: 'train.jsonl', columns: ['question', 'answer', 'wrong'], loss: 'MultipleNegativesRankingLoss' }],
  evaluation: { type: 'retrieval', file: 'asked.jsonl', columns: ['question', 'answer'] },
  epochs: Number(epochs),
  batchSize: 32,
  learningRate: 2e-4,
};
await writeFile(join(folder, 'config.json'), `${JSON.stringify(config, undefined, 2)}\n`);
const { output } = await trainFromConfig(parseTrainingConfig(config, 'config.json'), {
  openModel: () => useLite(),
  directory: folder,
  onProgress: ({ step, totalSteps, loss }) => {
    if (step % 25 === 0) console.log(`step ${step} of ${totalSteps}, loss ${loss.toFixed(3)}`);
  },
});

const after = await loadEmbedder(output, { backend: onnx() });
console.log(`after: NDCG@10 of the new questions ${(await ndcgOf(after)).toFixed(3)}`);
await search(after, asked.at(-1).question);
await Promise.all([before.dispose(), after.dispose()]);
console.log(`Model: ${output}; training curves: ${join(output, 'report.html')}`);

/** Computes the NDCG@10 of the new questions, searched among the answers to all of them. */
async function ndcgOf(embedder) {
  const embed = async (texts) => (await embedder.embed(texts)).vectors;
  const task = retrievalTask(
    asked.map(({ question }) => question),
    asked.map(({ answer }) => answer),
  );
  const { score } = await evaluateRetrieval(embed, task);
  return score;
}

/** Returns triplets of each known question, its answer, and the most similar wrong answer. */
async function mineTriplets(embedder, rows) {
  const embed = async (texts) => (await embedder.embed(texts)).vectors;
  const anchors = await embed(rows.map(({ question }) => question));
  const positives = await embed(rows.map(({ answer }) => answer));
  const isPositive = (row, candidate) => rows[row].answer === answers[candidate];
  const mined = await mineHardNegatives(
    anchors,
    positives,
    { candidates: await embed(answers), isPositive },
    { negatives: 1, rangeMin: 2 },
  );
  return mined.map(({ row, negatives: [wrong] }) => ({ ...rows[row], wrong: answers[wrong] }));
}

async function search(embedder, question) {
  const [query, corpus] = [(await embedder.embed([question])).vectors, (await embedder.embed(answers)).vectors];
  const [hits] = await semanticSearch(query, corpus, { topK: 3 });
  console.log(`\n${question}`);
  for (const { row, score } of hits) console.log(`  ${score.toFixed(2)}  ${answers[row]}`);
}
