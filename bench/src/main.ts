import { parseArgs } from 'node:util';
import { join } from 'node:path';
import { cacheDirectory } from '@sentvec/core/node';
import { candidates } from './candidates/index.ts';
import { measure, type Measurement } from './measure.ts';
import { models } from './models/index.ts';
import { describeMachine, table } from './report.ts';
import { workloads } from './workloads/index.ts';

const usage = `pnpm bench [--rounds N] [--model NAME] [--workload NAME] [--candidate NAME] [--json]

Times sentvec beside others on the same texts and the same ONNX file, in turns, and prints the medians.
--rounds      rounds that count; default 5
--model       only models whose name contains this
--workload    only workloads whose name contains this
--candidate  only sentvec and candidates whose name contains this
--json        the measurements as JSON on standard output
`;

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    model: { type: 'string', default: '' },
    workload: { type: 'string', default: '' },
    candidate: { type: 'string', default: '' },
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
  const chosen = candidates.filter(({ name }, place) => place === 0 || name.includes(values.candidate));
  const measurements: Measurement[] = [];
  for (const model of models.filter(({ name }) => name.includes(values.model))) {
    const directory = await model.prepare(join(cacheDirectory(), 'bench'));
    for (const workload of workloads.filter(({ name }) => name.includes(values.workload))) {
      console.error(`${model.name}: ${workload.description} …`);
      measurements.push(await measure(model, directory, workload, chosen, rounds));
    }
  }
  if (values.json)
    process.stdout.write(`${JSON.stringify({ machine: describeMachine(), rounds, measurements }, undefined, 2)}\n`);
  else process.stdout.write(`${describeMachine()}; medians of ${rounds} rounds\n\n${table(measurements)}\n`);
}
