// Usage: node main.mjs DATA [FOLDER]. Trains an embedder and a cross-encoder from the same start, on the same pairs of
// sentences and with the same number of steps, and compares them on STS-B dev. README.md has the results.
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { directoryModel } from '@sentvec/core/node';
import { useLite } from '@sentvec/model-use-lite';
import { parseTrainingConfig, trainFromConfig } from '@sentvec/training/node';

const [data = 'data', folder = 'cross-encoder'] = process.argv.slice(2).map((path) => resolve(path));
const { EPOCHS: epochs = '3', SEEDS: seeds = '42', THREADS: threads, ONLY: only = '' } = process.env;
const files = {
  train: join(data, 'stsb/stsb-en-train.csv'),
  dev: join(data, 'stsb/stsb-en-dev.csv'),
  inferences: join(data, 'nli/snli-dev.jsonl'),
};
for (const file of Object.values(files)) if (!existsSync(file)) refuseWithout(file);
await mkdir(folder, { recursive: true });
await writeTriplets(join(folder, 'triplets.jsonl'));

const sentences = { header: false, columns: [0, 1], label: 2 };
const scored = { ...sentences, file: files.train, labelScale: 5 };
const common = {
  evaluation: { ...sentences, type: 'sts', file: files.dev },
  batchSize: 16,
  epochs: Number(epochs),
  learningRate: 1e-4,
  ...(threads && { threads: Number(threads) }),
};
const inferences = { file: 'triplets.jsonl', columns: ['anchor', 'positive', 'negative'] };

for (const seed of seeds.split(',').map(Number)) {
  const [start, embedder] = [`start-${seed}`, `embedder-${seed}`];
  await train(start, {
    seed,
    model: 'use-lite',
    data: [{ ...inferences, loss: 'MultipleNegativesRankingLoss' }],
    epochs: 1,
    batchSize: 32,
  });
  // The cross-encoder has the same start, the same pairs and the same number of steps.
  await train(embedder, { seed, model: start, data: [{ ...scored, loss: 'CoSENTLoss' }] });
  const crossEncoder = { seed, kind: 'reranker', data: [{ ...scored, loss: 'BinaryCrossEntropyLoss' }] };
  await train(`cross-encoder-${seed}`, { ...crossEncoder, model: start });
  // This is the recommended setup: the cross-encoder starts from the trained embedder.
  await train(`cross-encoder-of-embedder-${seed}`, { ...crossEncoder, model: embedder });
}

/** Trains a model in the folder, unless it exists, and prints its score on STS-B dev after each epoch. */
async function train(name, settings) {
  if (!name.startsWith(only)) return undefined;
  if (existsSync(join(folder, name))) return console.log(`${name}: already exists in ${folder}`);
  const config = { ...common, ...settings, output: name };
  await writeFile(join(folder, `${name}.json`), `${JSON.stringify(config, undefined, 2)}\n`);
  const started = performance.now();
  // Equivalent to the command: sentvec train NAME.json
  const { outcome } = await trainFromConfig(parseTrainingConfig(config, `${name}.json`), {
    directory: folder,
    openModel: (model) => (model === 'use-lite' ? useLite() : directoryModel(join(folder, model))),
    onProgress: ({ step, totalSteps, loss }) => {
      if (step % 100 === 0) console.log(`  step ${step} of ${totalSteps}, loss ${loss.toFixed(3)}`);
    },
  });
  const scores = outcome.history.evaluations.map(({ score }) => score);
  const seconds = ((performance.now() - started) / 1000).toFixed(0);
  console.log(
    `${name}: Spearman on STS-B dev ${Math.max(...scores).toFixed(4)} (${scores.map((score) => score.toFixed(4)).join(' → ')}), ${seconds} s`,
  );
}

/**
 * Returns triplets of a premise, an entailed sentence and a contradicting sentence: as many as the premise has of both.
 */
async function writeTriplets(file) {
  const hypotheses = new Map();
  for (const line of (await readFile(files.inferences, 'utf8')).trim().split('\n')) {
    const { premise, hypothesis, label } = JSON.parse(line);
    if (!hypotheses.has(premise)) hypotheses.set(premise, { entailment: [], contradiction: [], neutral: [] });
    hypotheses.get(premise)[label]?.push(hypothesis);
  }
  const lines = [...hypotheses].flatMap(([anchor, { entailment, contradiction }]) =>
    entailment
      .slice(0, contradiction.length)
      .map((positive, index) => JSON.stringify({ anchor, positive, negative: contradiction[index] })),
  );
  await writeFile(file, `${lines.join('\n')}\n`);
}

function refuseWithout(file) {
  console.error(`${file} is not there. Name the folder of the data: node main.mjs DATA [FOLDER]. It holds
  stsb/stsb-en-train.csv, stsb/stsb-en-dev.csv  of https://github.com/PhilipMay/stsb-multi-mt
  nli/snli-dev.jsonl  of https://nlp.stanford.edu/projects/snli/, with premise, hypothesis and label in each line`);
  process.exit(1);
}
