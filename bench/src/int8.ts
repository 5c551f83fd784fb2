// Compares int8 with float32: the speed on the same texts, measured alternately, and the quality of the file that
// `sentvec quantize` creates.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { onnx } from '@sentvec/backend-onnx';
import { quantizeModel, type QuantizationReport } from '@sentvec/backend-onnx/quantization';
import { cacheDirectory, directoryModel, loadEmbedder } from '@sentvec/core/node';
import type { BenchModel } from './bench-model.ts';
import type { Candidate, OpenCandidate } from './candidate.ts';
import { sentvecOnnx } from './candidates/sentvec-onnx.ts';
import { pyTorch } from './candidates/pytorch.ts';
import { transformersJs, transformersJsAllCores, transformersJsInt8 } from './candidates/transformers-js.ts';
import { models } from './models/index.ts';
import { printReport, type BenchTable } from './report.ts';
import { median, medianRatio, timeInTurns, roundsOf } from './rounds.ts';
import type { Workload } from './workload.ts';
import { workloads } from './workloads/index.ts';

const usage = `pnpm bench int8 [--rounds N] [--model NAME] [--workload NAME] [--python COMMAND] [--json]

Quantizes the models, embeds the same texts as float32 and as int8 in turns, and prints speed and quality.
--rounds    rounds that count; default 5
--model     only models whose name contains this
--workload  only workloads whose name contains this
--python    a command that starts a Python with torch and transformers: bfloat16 and dynamic int8 beside it
--json      print JSON
`;

const variant = 'model_int8';

/**
 * A model with random weights meets no quality threshold. To measure its speed, all layers are quantized regardless of
 * quality.
 */
const noBar = { meanCosine: 0, minimumCosine: 0, rankLoss: 1 };

const sentvecInt8: Candidate = {
  name: 'sentvec, int8',
  async open(directory) {
    const embedder = await loadEmbedder(directory, { backend: onnx({ variant }) });
    return {
      embed: async (texts) => (await embedder.embed(texts)).vectors.data,
      close: () => embedder.dispose(),
    };
  },
};

/** All candidates for a model; the others are compared with the first. PyTorch does not know the default model. */
function candidatesFor({ sizes }: BenchModel): Candidate[] {
  const python = sizes === undefined ? undefined : values.python;
  return [
    { ...sentvecOnnx, name: 'sentvec, float32' },
    sentvecInt8,
    transformersJs,
    transformersJsAllCores,
    transformersJsInt8,
    ...(python === undefined ? [] : [pyTorch(python, 'bfloat16'), pyTorch(python, 'int8')]),
  ];
}

interface Speed {
  readonly name: string;
  readonly textsPerSecond: number;
  /** Speed relative to the first candidate: the median of the ratios within each round, and the extremes. */
  readonly ratio: { readonly median: number; readonly least: number; readonly most: number };
}

interface Result {
  readonly model: string;
  readonly report: QuantizationReport;
  readonly workloads: readonly { readonly name: string; readonly speeds: readonly Speed[] }[];
}

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    model: { type: 'string', default: '' },
    workload: { type: 'string', default: '' },
    python: { type: 'string' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) process.stdout.write(usage);
else await main(roundsOf(values.rounds));

async function main(rounds: number): Promise<void> {
  const results: Result[] = [];
  for (const model of models.filter(({ name }) => name.includes(values.model))) {
    const directory = await model.prepare(join(cacheDirectory(), 'bench'));
    console.error(`${model.name}: quantizing …`);
    const report = await quantizeFolder(model, directory);
    const measured: Result['workloads'][number][] = [];
    for (const workload of workloads.filter(({ name }) => name.includes(values.workload))) {
      console.error(`${model.name}: ${workload.description} …`);
      const speeds = await measureSpeeds(candidatesFor(model), directory, workload, rounds);
      measured.push({ name: workload.name, speeds });
    }
    results.push({ model: model.name, report, workloads: measured });
  }
  const tables = [speedTable(results), qualityTable(results)];
  printReport({ method: `medians of ${rounds} rounds`, tables, results }, values.json);
}

/** Creates the int8 file in a model folder, with the built-in calibration texts. */
async function quantizeFolder(model: BenchModel, directory: string): Promise<QuantizationReport> {
  const { bytes, selfCheck, report } = await quantizeModel(await directoryModel(directory), {
    ...(model.sizes !== undefined && { bar: noBar }),
  });
  await mkdir(join(directory, 'onnx'), { recursive: true });
  await writeFile(join(directory, `onnx/${variant}.onnx`), bytes);
  await writeFile(join(directory, `onnx/${variant}.self-check.json`), selfCheck ?? '');
  return report;
}

async function measureSpeeds(
  candidates: readonly Candidate[],
  directory: string,
  workload: Workload,
  rounds: number,
): Promise<Speed[]> {
  const texts = await workload.texts();
  const open: { readonly name: string; readonly candidate: OpenCandidate }[] = [];
  for (const candidate of candidates) open.push({ name: candidate.name, candidate: await candidate.open(directory) });
  try {
    const entries = open.map(({ name, candidate }) => ({ name, run: async () => void (await candidate.embed(texts)) }));
    const timings = await timeInTurns(entries, rounds);
    const first = entries[0]!.name;
    return entries.map(({ name }) => {
      const ratios = timings.get(first)!.map((time, round) => time / timings.get(name)![round]!);
      return {
        name,
        textsPerSecond: (texts.length / median(timings.get(name)!)) * 1000,
        ratio: { median: medianRatio(timings, first, name), least: Math.min(...ratios), most: Math.max(...ratios) },
      };
    });
  } finally {
    for (const { candidate } of open) await candidate.close();
  }
}

function speedTable(results: readonly Result[]): BenchTable {
  const rows = results.flatMap(({ model, workloads: measured }) =>
    measured.flatMap(({ name: workload, speeds: found }) =>
      found.map(({ name, textsPerSecond, ratio }, index) => [
        index === 0 ? model : '',
        index === 0 ? workload : '',
        name,
        textsPerSecond.toFixed(1),
        ...(index === 0 ? ['', ''] : [ratio.median, `${ratio.least.toFixed(2)} to ${ratio.most.toFixed(2)}`]).map(
          (each) => (typeof each === 'number' ? `${each.toFixed(2)} ×` : each),
        ),
      ]),
    ),
  );
  return { header: ['model', 'workload', 'candidate', 'texts/s', 'times sentvec, float32', 'in the rounds'], rows };
}

function qualityTable(results: readonly Result[]): BenchTable {
  const rows = results.map(({ model, report: { quality, bytes, float32Inputs } }) => [
    model,
    quality.meanCosine.toFixed(5),
    quality.minimumCosine.toFixed(5),
    quality.rankCorrelation.toFixed(5),
    `${(quality.topOverlap * 100).toFixed(1)} %`,
    String(float32Inputs.length),
    `${(bytes.float32 / 1e6).toFixed(1)} to ${(bytes.quantized / 1e6).toFixed(1)} MB`,
  ]);
  const header = ['model', 'mean cosine', 'least', 'rank correlation', 'top-10 kept', 'inputs in float32', 'size'];
  return { header, rows };
}
