// Fine-tunes the default model on STS-B with recipes whose scores in PyTorch are known. See README.md.
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { directoryModel } from '@sentvec/core/node';
import { useLite } from '@sentvec/model-use-lite';
import { parseTrainingConfig, trainFromConfig } from '@sentvec/training/node';
import { printReport } from './report.ts';

const { values } = parseArgs({ options: { json: { type: 'boolean', default: false } } });

const data = fileURLToPath(new URL('../../../shared/data/', import.meta.url));
if (!existsSync(join(data, 'stsb'))) {
  console.log(
    'Skipped: STS-B and SNLI were not found in ../shared/data. They may not be distributed with the project.',
  );
  process.exit(0);
}

const folder = await mkdtemp(join(tmpdir(), 'sentvec-sts-b-'));
const triplets = join(folder, 'triplets.jsonl');

const scores = { file: join(data, 'stsb/stsb-en-train.csv'), header: false, columns: [0, 1], label: 2, labelScale: 5 };
const evaluation = { type: 'sts', file: join(data, 'stsb/stsb-en-dev.csv'), header: false, columns: [0, 1], label: 2 };
const common = {
  evaluation,
  learningRate: 1e-4,
  schedule: 'linear',
  warmup: 0.1,
  weightDecay: 0.01,
  clipNorm: 1,
  dropout: false,
  seed: 42,
};
const negatives = { file: triplets, columns: ['anchor', 'positive', 'negative'], loss: 'MultipleNegativesRankingLoss' };

/** The recipes, with Spearman's correlation on STS-B dev that PyTorch reaches with the same recipe and one seed. */
const recipes = [
  {
    name: 'CosineSimilarityLoss',
    pytorch: 0.8476,
    data: { ...scores, loss: 'CosineSimilarityLoss' },
    epochs: 4,
    batchSize: 16,
  },
  { name: 'CoSENTLoss', pytorch: 0.8544, data: { ...scores, loss: 'CoSENTLoss' }, epochs: 4, batchSize: 16 },
  { name: 'SNLI', pytorch: 0.8026, data: negatives, epochs: 1, batchSize: 32 },
  {
    name: 'SNLI, then CoSENTLoss',
    pytorch: 0.8565,
    data: { ...scores, loss: 'CoSENTLoss' },
    epochs: 3,
    batchSize: 16,
    after: 'SNLI',
  },
];

interface Inference {
  readonly premise: string;
  readonly hypothesis: string;
  readonly label: string;
}

/**
 * Writes triplets of a premise, an entailed sentence and a contradicting sentence: as many as the premise has of both.
 */
async function writeTriplets(): Promise<void> {
  const hypotheses = new Map<string, { entailment: string[]; contradiction: string[] }>();
  for (const line of (await readFile(join(data, 'nli/snli-dev.jsonl'), 'utf8')).trim().split('\n')) {
    const { premise, hypothesis, label } = JSON.parse(line) as Inference;
    if (label !== 'entailment' && label !== 'contradiction') continue;
    const known = hypotheses.get(premise) ?? { entailment: [], contradiction: [] };
    known[label].push(hypothesis);
    hypotheses.set(premise, known);
  }
  const lines = [...hypotheses].flatMap(([anchor, { entailment, contradiction }]) =>
    entailment
      .slice(0, contradiction.length)
      .map((positive, place) => JSON.stringify({ anchor, positive, negative: contradiction[place] })),
  );
  await writeFile(triplets, `${lines.join('\n')}\n`);
}

try {
  await writeTriplets();
  const results = [];
  for (const { name, pytorch, data: set, epochs, batchSize, after } of recipes) {
    const model = after === undefined ? 'use-lite' : join(folder, after);
    const settings = { ...common, model, output: join(folder, name), data: [set], epochs, batchSize };
    const started = performance.now();
    const { outcome } = await trainFromConfig(parseTrainingConfig(settings, name), {
      openModel: async (path) => (path === 'use-lite' ? await useLite() : await directoryModel(path)),
    });
    const reached = outcome.history.evaluations.map(({ score }) => score);
    const seconds = (performance.now() - started) / 1000;
    results.push({ name, best: Math.max(...reached), pytorch, reached, seconds });
    console.error(`${name}: ${Math.max(...reached).toFixed(4)}`);
  }
  const header = ['recipe', 'best', 'PyTorch', 'after each epoch', 'seconds'];
  const rows = results.map(({ name, best, pytorch, reached, seconds }) => [
    name,
    best.toFixed(4),
    pytorch.toFixed(4),
    reached.map((score) => score.toFixed(4)).join(' → '),
    seconds.toFixed(0),
  ]);
  printReport({ method: 'Spearman on STS-B dev, one seed', tables: [{ header, rows }], results }, values.json);
} finally {
  await rm(folder, { recursive: true, force: true });
}
