// Usage: node main.mjs [FOLDER]. Fine-tunes the default model on pairs of WordNet definitions with a similarity score.
import { mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { readSynsets, scoredDefinitions } from '@sentvec/example-wordnet';
import { useLite } from '@sentvec/model-use-lite';
import { Random } from '@sentvec/training';
import { parseTrainingConfig, trainFromConfig } from '@sentvec/training/node';

const folder = resolve(process.argv[2] ?? 'similarity');
const { PAIRS: count = '6000', BATCH_SIZE: batchSize = '32' } = process.env;

console.log('Reading WordNet …');
const synsets = await readSynsets(['noun']);
const pairs = scoredDefinitions(synsets, Math.round(Number(count) * 1.2), new Random(7));
// No definition is used both for training and for evaluation.
const judged = pairs.slice(Number(count));
const seen = new Set(judged.flatMap(({ first, second }) => [first, second]));
const trained = pairs.slice(0, Number(count)).filter(({ first, second }) => !seen.has(first) && !seen.has(second));
await mkdir(folder, { recursive: true });
const jsonLines = (rows) => rows.map((row) => `${JSON.stringify(row)}\n`).join('');
await writeFile(join(folder, 'train.jsonl'), jsonLines(trained));
await writeFile(join(folder, 'dev.jsonl'), jsonLines(judged));
console.log(`${trained.length} pairs to train on, ${judged.length} to evaluate with: ${folder}/*.jsonl`);

const columns = { columns: ['first', 'second'], label: 'score' };
const config = {
  model: 'use-lite',
  output: 'model',
  data: [{ ...columns, file: 'train.jsonl', loss: 'CoSENTLoss' }],
  evaluation: { ...columns, file: 'dev.jsonl', type: 'sts' },
  epochs: 2,
  batchSize: Number(batchSize),
  learningRate: 1e-4,
};
// Equivalent to the command: sentvec train config.json
await writeFile(join(folder, 'config.json'), `${JSON.stringify(config, undefined, 2)}\n`);
const { output, outcome } = await trainFromConfig(parseTrainingConfig(config, 'config.json'), {
  openModel: () => useLite(),
  directory: folder,
  onEvaluation: ({ step, score }) =>
    console.log(`step ${step}: Spearman's correlation with WordNet ${score.toFixed(3)}`),
  onProgress: ({ step, totalSteps, loss }) => {
    if (step % 50 === 0) console.log(`step ${step} of ${totalSteps}, loss ${loss.toFixed(3)}`);
  },
});
const { evaluations, steps } = outcome.history;
const meanLoss = (part) => part.reduce((sum, { loss }) => sum + loss, 0) / part.length;
const epoch = steps.length / config.epochs;
console.log(
  `loss in the first epoch ${meanLoss(steps.slice(0, epoch)).toFixed(3)}, in the last ${meanLoss(steps.slice(-epoch)).toFixed(3)}`,
);
const [before, ...later] = evaluations.map(({ score }) => score.toFixed(3));
console.log(`before ${before}, after each epoch ${later.join(', ')}; the best weights are kept`);
console.log(`Model: ${output}; training curves, and some pairs before and after: ${join(output, 'report.html')}`);
