import { parseArgs } from 'node:util';
import { readEncoder } from '@sentvec/architectures';
import { onnx } from '@sentvec/backend-onnx';
import { tfjs } from '@sentvec/backend-tfjs';
import { wasm } from '@sentvec/backend-wasm';
import { loadEmbedder } from '@sentvec/core/node';
import { useLite } from '@sentvec/model-use-lite';
import { printReport } from './report.ts';
import { median, medianRatio, timeInTurns } from './rounds.ts';
import { measureOperations } from './tfjs-operations.ts';
import { workloads } from './workloads/index.ts';

const usage = `pnpm bench tfjs [--rounds N] [--json]

Times the two backends on WebAssembly, TensorFlow.js and sentvec's own, beside onnxruntime on one thread: the default model on the
same texts, in turns. Then what the operations of a batch take in TensorFlow.js. Run it on a quiet machine.
`;

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

/** Number of short sentences to embed; WebAssembly would take too long for all of them. */
const texts = 512;

/** Batch sizes, about as many tokens as the pipeline puts into a batch. */
const batches = [
  { rows: 28, cols: 18 },
  { rows: 4, cols: 120 },
] as const;

if (values.help) process.stdout.write(usage);
else await main(Number(values.rounds));

async function main(rounds: number): Promise<void> {
  const model = await useLite();
  const speeds = await compare(rounds);
  const definition = await readEncoder(model);
  const operations = [];
  for (const batch of batches) operations.push(await measureOperations(definition, batch));
  const speedTable = {
    header: [
      'workload',
      'texts',
      'tokens',
      'onnxruntime, one thread: texts/s',
      'TensorFlow.js: texts/s',
      'of onnxruntime',
      'backend-wasm: texts/s',
      'of onnxruntime',
    ],
    rows: speeds.map((speed) => [
      speed.workload,
      String(speed.texts),
      String(speed.tokens),
      speed.onnx.toFixed(0),
      speed.tfjs.toFixed(0),
      `${(100 * speed.ratios.tfjs).toFixed(0)} %`,
      speed.wasm.toFixed(0),
      `${(100 * speed.ratios.wasm).toFixed(0)} %`,
    ]),
  };
  const operationTables = operations.map(({ batch, milliseconds, gigaflops, shares }) => ({
    title: `A batch of ${batch.rows} × ${batch.cols} tokens: ${milliseconds.toFixed(1)} ms, linear layers at ${gigaflops.toFixed(0)} GFLOP/s`,
    header: ['operation', 'calls', 'ms', 'share'],
    rows: shares.map(({ name, calls, time }) => [
      name,
      String(calls),
      time.toFixed(2),
      `${((100 * time) / milliseconds).toFixed(1)} %`,
    ]),
  }));
  const tables = [speedTable, ...operationTables];
  printReport({ method: `medians of ${rounds} rounds`, tables, results: { speeds, operations } }, values.json);
}

/** @throws Error when they do not give the same vectors */
async function compare(rounds: number) {
  const model = await useLite();
  const embedders = {
    onnx: await loadEmbedder(model, { backend: onnx({ sessions: 1, threadsPerSession: 1 }) }),
    tfjs: await loadEmbedder(model, { backend: tfjs({ device: 'wasm' }) }),
    wasm: await loadEmbedder(model, { backend: wasm() }),
  };
  const results = [];
  for (const workload of workloads) {
    const sample = (await workload.texts()).slice(0, texts);
    const { vectors, receipt } = await embedders.onnx.embed(sample);
    for (const name of ['tfjs', 'wasm'] as const) {
      const other = (await embedders[name].embed(sample)).vectors;
      const difference = vectors.data.reduce(
        (worst, value, index) => Math.max(worst, Math.abs(value - other.data[index]!)),
        0,
      );
      if (!(difference <= 1e-5)) throw new Error(`The vectors of ${name} differ by up to ${difference}.`);
    }
    const entries = Object.entries(embedders).map(([name, embedder]) => ({
      name,
      run: async () => void (await embedder.embed(sample)),
    }));
    const timings = await timeInTurns(entries, rounds);
    const perSecond = (name: string): number => (1000 * sample.length) / median(timings.get(name)!);
    const ratio = (name: string): number => 1 / medianRatio(timings, name, 'onnx');
    results.push({
      workload: workload.name,
      texts: sample.length,
      tokens: receipt.tokens,
      onnx: perSecond('onnx'),
      tfjs: perSecond('tfjs'),
      wasm: perSecond('wasm'),
      ratios: { tfjs: ratio('tfjs'), wasm: ratio('wasm') },
    });
  }
  await Promise.all(Object.values(embedders).map((embedder) => embedder.dispose()));
  return results;
}
