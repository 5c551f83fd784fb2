// Ranks a hundred documents for one query with sentvec and with transformers.js, alternately, with the same files.
import { stat } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { AutoModelForSequenceClassification, AutoTokenizer, env, type Tensor } from '@huggingface/transformers';
import { constantWeights, OnnxRecorder, readEncoder } from '@sentvec/architectures';
import { onnx } from '@sentvec/backend-onnx';
import { memoryModel, readWeights, writeSafetensors, type TextPair, type WritableTensor } from '@sentvec/core';
import { cacheDirectory, directoryModel, loadReranker } from '@sentvec/core/node';
import { writeFolderAtomically } from '@sentvec/platform/node';
import { miniLm } from './models/mini-lm.ts';
import { passages } from './moby-dick.ts';
import { randomNumbers, uniform } from './random-numbers.ts';
import { printReport } from './report.ts';
import { median, timeInTurns, roundsOf } from './rounds.ts';

const usage = `pnpm bench rerank [--rounds N] [--documents N] [--json]

Scores documents of about 200 tokens for one query, with a reranker of the size of MiniLM-L6 and random weights.
--rounds     rounds that count; default 5
--documents  how many; default 100
--json       print JSON
`;

const query = 'How does the captain find the white whale?';
const hidden = 384;
/** Pairs per call of transformers.js. */
const batchSize = 32;

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    documents: { type: 'string', default: '100' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) process.stdout.write(usage);
else await main(roundsOf(values.rounds));

async function main(rounds: number): Promise<void> {
  const folder = await prepareReranker(join(cacheDirectory(), 'bench'));
  const documents = passages(130, 170).slice(0, Number(values.documents));
  const pairs = documents.map((document): TextPair => [query, document]);
  const reranker = await loadReranker(await directoryModel(folder), { backend: onnx() });
  const { scores, receipt } = await reranker.score(pairs, { activation: 'Identity' });
  const others = [
    await openTransformersJs('transformers.js', folder, {}),
    await openTransformersJs('transformers.js, all cores', folder, { intraOpNumThreads: availableParallelism() }),
  ];
  for (const other of others) checkSame(other.name, scores.data, await other.score(documents));
  const timings = await timeInTurns(
    [
      { name: 'sentvec', run: async () => void (await reranker.rank(query, documents)) },
      ...others.map(({ name, score }) => ({ name, run: async () => void (await score(documents)) })),
    ],
    rounds,
  );
  await reranker.dispose();
  for (const other of others) await other.close();
  const own = timings.get('sentvec')!;
  const results = [...timings].map(([name, times]) => ({
    name,
    milliseconds: median(times),
    ratio: median(times.map((time, round) => time / own[round]!)),
  }));
  const tokens = receipt.tokens / documents.length;
  const rows = results.map(({ name, milliseconds, ratio }) => [name, milliseconds.toFixed(0), `${ratio.toFixed(2)} ×`]);
  const method = `${documents.length} pairs of ${tokens.toFixed(0)} tokens, medians of ${rounds} rounds`;
  printReport(
    { method, tables: [{ header: ['candidate', 'milliseconds', 'of sentvec'], rows }], results },
    values.json,
  );
}

/**
 * Creates the folder of a reranker: the encoder of {@link miniLm} with a classification head, and an ONNX file with the
 * output `logits`.
 */
async function prepareReranker(directory: string): Promise<string> {
  const folder = join(directory, 'mini-lm-reranker-random-1');
  if ((await stat(folder).catch(() => undefined)) !== undefined) return folder;
  const base = await directoryModel(await miniLm.prepare(directory));
  const config = JSON.parse(new TextDecoder().decode(await base.read('config.json'))) as object;
  const labels = {
    architectures: ['BertForSequenceClassification'],
    id2label: { 0: 'LABEL_0' },
    label2id: { LABEL_0: 0 },
  };
  const tensors = await withHead(base);
  const files: Record<string, Uint8Array | string> = {
    'config.json': JSON.stringify({ ...config, ...labels }),
    'model.safetensors': writeSafetensors(tensors, { format: 'pt' }),
  };
  for (const name of ['tokenizer.json', 'tokenizer_config.json']) files[name] = await base.read(name);
  files['onnx/model.onnx'] = await recordScores(memoryModel('reranker', files), tensors);
  await writeFolderAtomically(folder, Object.entries(files));
  return folder;
}

async function withHead(base: Parameters<typeof readWeights>[0]): Promise<Record<string, WritableTensor>> {
  const weights = await readWeights(base);
  const next = uniform(7);
  const head: Record<string, WritableTensor> = {
    'pooler.dense.weight': { shape: [hidden, hidden], data: randomNumbers(hidden * hidden, 0.05, next) },
    'pooler.dense.bias': { shape: [hidden], data: randomNumbers(hidden, 0.02, next) },
    'classifier.weight': { shape: [1, hidden], data: randomNumbers(hidden, 0.05, next) },
    'classifier.bias': { shape: [1], data: randomNumbers(1, 0.02, next) },
  };
  const encoder = Object.fromEntries(weights.names().map((name) => [name, weights.tensor(name)]));
  return { ...encoder, ...head };
}

async function recordScores(
  files: ReturnType<typeof memoryModel>,
  tensors: Readonly<Record<string, WritableTensor>>,
): Promise<Uint8Array> {
  const { network, ...definition } = await readEncoder(files);
  const recorder = new OnnxRecorder();
  const { operations } = recorder;
  const [ids, mask, types] = ['input_ids', 'attention_mask', 'token_type_ids'].map((name) =>
    recorder.input(name, 'index', ['batch', 'length']),
  );
  const weight = constantWeights(operations, { ...definition, network });
  const tokens = network.encode(operations, weight, { ids: ids!, mask: mask!, types });
  const [batch] = operations.shape(tokens);
  const constant = (name: string) => operations.constant(tensors[name]!.data, tensors[name]!.shape);
  const linear = (x: typeof tokens, name: string) =>
    operations.linear(x, constant(`${name}.weight`), constant(`${name}.bias`));
  const first = operations.reshape(operations.slice(tokens, 1, 0, 1), [batch!, hidden]);
  recorder.output('logits', linear(operations.tanh(linear(first, 'pooler.dense')), 'classifier'));
  return recorder.encode();
}

async function openTransformersJs(
  name: string,
  folder: string,
  sessionOptions: { readonly intraOpNumThreads?: number },
) {
  env.allowRemoteModels = false;
  env.localModelPath = dirname(folder);
  const tokenizer = await AutoTokenizer.from_pretrained(basename(folder));
  const model = await AutoModelForSequenceClassification.from_pretrained(basename(folder), {
    dtype: 'fp32',
    device: 'cpu',
    session_options: sessionOptions,
  });
  return {
    name,
    score: async (documents: readonly string[]): Promise<Float32Array> => {
      const scores = new Float32Array(documents.length);
      for (let first = 0; first < documents.length; first += batchSize) {
        const batch = documents.slice(first, first + batchSize);
        const queries = batch.map(() => query);
        const inputs: unknown = tokenizer(queries, { text_pair: batch, padding: true, truncation: true });
        const { logits } = (await model(inputs)) as { readonly logits: Tensor };
        scores.set(logits.data as Float32Array, first);
      }
      return scores;
    },
    close: async (): Promise<void> => void (await model.dispose()),
  };
}

function checkSame(name: string, own: Float32Array, others: Float32Array): void {
  const difference = own.reduce((most, value, index) => Math.max(most, Math.abs(value - others[index]!)), 0);
  if (difference < 1e-4) return;
  throw new Error(`The scores of ${name} differ from those of sentvec by up to ${difference}.`);
}
