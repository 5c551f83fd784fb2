// Whole corpora: sentvec beside others on the same texts and the same ONNX file, and beside what the CPU can do.
import { parseArgs } from 'node:util';
import { join } from 'node:path';
import { cacheDirectory } from '@sentvec/core/node';
import type { BenchModel } from './bench-model.ts';
import type { Candidate } from './candidate.ts';
import { fastembed } from './candidates/fastembed.ts';
import { candidates } from './candidates/index.ts';
import { pyTorch } from './candidates/pytorch.ts';
import { measure, type Measurement } from './measure.ts';
import { models } from './models/index.ts';
import { printReport, type BenchTable } from './report.ts';
import { workloads } from './workloads/index.ts';

const usage = `pnpm bench [--rounds N] [--model NAME] [--workload NAME] [--candidate NAME] [--python COMMAND] [--fastembed FOLDER] [--json]

Times sentvec beside others on the same texts and the same ONNX file, in turns, and prints the medians.
--rounds      rounds that count; default 5
--model       only models whose name contains this
--workload    only workloads whose name contains this
--candidate   only sentvec and candidates whose name contains this
--python      a command that starts a Python with torch and transformers: "python3", "chroot /opt/py python3"
--fastembed   a folder with node_modules/fastembed
--json        the measurements as JSON on standard output
`;

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    model: { type: 'string', default: '' },
    workload: { type: 'string', default: '' },
    candidate: { type: 'string', default: '' },
    python: { type: 'string' },
    fastembed: { type: 'string' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) {
  process.stdout.write(usage);
} else {
  const rounds = Number(values.rounds);
  if (!Number.isSafeInteger(rounds) || rounds < 1)
    throw new Error(`--rounds must be a whole number above 0, not ${values.rounds}.`);
  const measurements: Measurement[] = [];
  for (const model of models.filter(({ name }) => name.includes(values.model))) {
    const directory = await model.prepare(join(cacheDirectory(), 'bench'));
    for (const workload of workloads.filter(({ name }) => name.includes(values.workload))) {
      console.error(`${model.name}: ${workload.description} …`);
      measurements.push(await measure(model, directory, workload, candidatesFor(model), rounds));
    }
  }
  const report = { method: `medians of ${rounds} rounds`, tables: [table(measurements)], results: measurements };
  printReport(report, values.json);
}

/** The others know the architecture of BERT, not that of the default model. */
function candidatesFor({ sizes }: BenchModel): Candidate[] {
  const known: Candidate[] = [...candidates];
  if (sizes !== undefined && values.python !== undefined) known.push(pyTorch(values.python, 'float32'));
  if (sizes !== undefined && values.fastembed !== undefined) known.push(fastembed(values.fastembed));
  return known.filter(({ name }, place) => place === 0 || name.includes(values.candidate));
}

function table(measurements: readonly Measurement[]): BenchTable {
  const header = [
    'model',
    'workload',
    'texts',
    'tokens',
    'candidate',
    'texts/s',
    'sentvec is',
    'largest difference',
    'of bare products',
  ];
  const rows = measurements.flatMap(({ model, workload, texts, tokens, candidates: measured, bare }) =>
    measured.map(({ name, textsPerSecond, ratio, difference }, index) => [
      ...(index === 0 ? [model, workload, String(texts), String(tokens)] : ['', '', '', '']),
      name,
      textsPerSecond.toFixed(1),
      index === 0 ? '' : `${ratio.toFixed(2)} × as fast`,
      index === 0 ? '' : (difference?.toExponential(1) ?? 'not compared'),
      index === 0 && bare ? `${bare.percent.toFixed(0)} % of ${bare.gigaflops.toFixed(0)} GFLOP/s` : '',
    ]),
  );
  return { header, rows };
}
