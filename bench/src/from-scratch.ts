// Trains a model from scratch on public pairs, and compares it with an IDF-weighted bag of tokens on STS-B dev. See
// README.md.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { readTable } from '@sentvec/corpus';
import {
  evaluateSts,
  fromScratch,
  lossFromName,
  recordGraphs,
  train,
  trainableTensors,
  type TrainingSet,
} from '@sentvec/training';
import { loadTrainable, onnxEngine } from '@sentvec/training/node';
import { scoreOfBags } from './from-scratch/bag-of-tokens.ts';
import { snliTriplets, wordNetPairs, wordNetSentences } from './from-scratch/training-pairs.ts';
import { describeMachine } from './report.ts';

const { values: flags } = parseArgs({
  options: {
    encoder: { type: 'string', default: 'static-embedding' },
    size: { type: 'string', default: '512' },
    vocabulary: { type: 'string', default: '30000' },
    'batch-size': { type: 'string', default: '1024' },
    'learning-rate': { type: 'string', default: '4e-4' },
    epochs: { type: 'string', default: '1' },
    'max-steps': { type: 'string', default: '200' },
    'without-wordnet': { type: 'boolean' },
    'sts-train': { type: 'boolean' },
  },
});
const data = fileURLToPath(new URL('../../../shared/data/', import.meta.url));
if (!existsSync(`${data}stsb`)) {
  console.log('Skipped: STS-B was not found at ../shared/data/stsb. It may not be distributed with the project.');
  process.exit(0);
}

const readSts = async (part: string) => {
  const { columns, labels = [] } = await readTable({
    file: `${data}stsb/stsb-en-${part}.csv`,
    columns: [0, 1],
    label: 2,
    header: false,
  });
  return { first: columns[0]!, second: columns[1]!, scores: Float32Array.from(labels, (label) => Number(label) / 5) };
};
const dev = await readSts('dev');
const scored = await readSts('train');
const stsTrain: TrainingSet = {
  name: 'STS-B train: two texts, score',
  loss: lossFromName('CoSENTLoss'),
  examples: { columns: [scored.first, scored.second], labels: scored.scores },
};
const snli = snliTriplets(`${data}nli/snli-dev.jsonl`);
const pairs = [...(flags['without-wordnet'] ? [] : await wordNetPairs(42)), ...snli];
// Unlabelled sentences from which the tokenizer and the IDF weights are computed.
const texts = [
  ...(await wordNetSentences()),
  ...snli.flatMap(({ examples }) => examples.columns.flat()),
  ...scored.first,
  ...scored.second,
];

const ways = [true, false].flatMap((present) => [true, false].map((punctuation) => ({ present, punctuation })));
const bag = Math.max(...ways.map((way) => scoreOfBags(dev, texts, way)));
console.log(
  `${describeMachine()}\nIDF-weighted bag of tokens (the best of ${ways.length} ways to count): ${bag.toFixed(4)}`,
);

const seconds = (
  (start) => () =>
    `${((performance.now() - start) / 1000).toFixed(0)} s`
)(performance.now());
const config = flags.encoder === 'static-embedding' ? { hidden_size: Number(flags.size) } : {};
const files = await fromScratch('from scratch', texts, {
  config: { model_type: flags.encoder, ...config },
  vocabularySize: Number(flags.vocabulary),
  tokenNorms: 'idf',
});
console.log(`${seconds()}  a tokenizer of ${flags.vocabulary} pieces and random weights`);
const { model, reader, dimension } = await loadTrainable(files);
const sets = flags['sts-train'] ? [...pairs, stsTrain] : pairs;
for (const { name, examples } of sets) console.log(`  ${examples.columns[0]!.length} of ${name}`);
const objectives = sets.map(({ loss, examples }) => ({ loss, columns: examples.columns.length }));
const trained = new Set(trainableTensors(model).map(({ name }) => name));
const optimizer = { weightDecay: 0, clipNorm: flags.encoder === 'static-embedding' ? Infinity : 1 };
const engine = onnxEngine(recordGraphs(model, dimension, { objectives, trained, dropout: false, optimizer }));
const { history } = await train({
  engine,
  reader,
  sets,
  options: {
    epochs: Number(flags.epochs),
    maxSteps: Number(flags['max-steps']),
    batchSize: Number(flags['batch-size']),
    learningRate: Number(flags['learning-rate']),
    warmup: 0.05,
    evaluateEvery: 50,
  },
  evaluate: (embed) => evaluateSts(embed, dev),
  onEvaluation: ({ step, score }) => console.log(`${seconds()}  step ${step}: ${score.toFixed(4)}`),
});
await engine.dispose();
await reader.tokenizer.dispose();
const best = Math.max(...history.evaluations.map(({ score }) => score));
console.log(`best on STS-B dev ${best.toFixed(4)}, ${(best - bag).toFixed(4)} above the bag of tokens`);
