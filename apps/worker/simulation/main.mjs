// The simulation as a command: reads the options, simulates one run for each number of workers, and prints the
// measurements as a table or as JSON.
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { simulateFleet } from './simulate-fleet.mjs';

const usage = `node scripts/simulate-fleet.mjs [options]

Simulates runs of a large fleet on this machine: a real Redis, the code of real workers, many in each process, a store with
the delays of a real one, and a stand-in for the model that only takes time. Prints what Redis and the coordinator had to
do, and what happened when workers were killed. Needs redis-server, and about 3 MB of memory for each worker.

--workers N,…        sizes of the fleet, one run for each; default 50,150,500
--concurrency N      chunks that a worker has at once; default 2
--rows N             rows of the corpus; default 4096000
--rows-per-chunk N   default 2048. In the simulation a chunk holds 2 rows that stand for them
--chunk-seconds S    how long the model takes for a chunk, on average; default 10
--store-delay MS     how long the store takes for a call, on average; default 20
--window N           as of sentvec worker; default 512
--kill SHARE         kills that share of the workers at once when half of the rows are done; default 0.1
--kill-coordinator   kills the worker that coordinates the run with them
--processes N        how many processes the workers share; default: one for each core
--seed N             of the durations; default 1
--json               prints everything that was measured
`;

const { values } = parseArgs({
  options: {
    workers: { type: 'string', default: '50,150,500' },
    concurrency: { type: 'string', default: '2' },
    rows: { type: 'string', default: '4096000' },
    'rows-per-chunk': { type: 'string', default: '2048' },
    'chunk-seconds': { type: 'string', default: '10' },
    'store-delay': { type: 'string', default: '20' },
    window: { type: 'string', default: '512' },
    kill: { type: 'string', default: '0.1' },
    'kill-coordinator': { type: 'boolean', default: false },
    processes: { type: 'string', default: String(cpus().length) },
    seed: { type: 'string', default: '1' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

const say = (line) => process.stderr.write(`${line}\n`);
if (values.help) process.stdout.write(usage);
else await main();

async function main() {
  const number = (name, least = 0) => {
    const value = Number(values[name]);
    if (Number.isFinite(value) && value >= least && values[name] !== '') return value;
    throw new Error(`--${name} must be a number of at least ${least}, not "${values[name]}".`);
  };
  const sizes = values.workers.split(',').map(Number);
  if (!sizes.every((size) => Number.isInteger(size) && size >= 2))
    throw new Error(`--workers must be whole numbers of at least 2 with commas between them, not "${values.workers}".`);
  const options = {
    concurrency: number('concurrency', 1),
    chunks: Math.ceil(number('rows', 1) / number('rows-per-chunk', 1)),
    chunkSeconds: number('chunk-seconds'),
    storeDelay: number('store-delay'),
    window: number('window', 1),
    kill: number('kill'),
    killCoordinator: values['kill-coordinator'],
    processes: number('processes', 1),
    seed: number('seed'),
    say,
  };
  const stopping = new AbortController();
  process.once('SIGINT', () => stopping.abort(new Error('Interrupted.')));
  const reports = [];
  for (const workers of sizes) {
    say(`${workers} workers, ${options.chunks} chunks …`);
    reports.push(await simulateFleet({ ...options, workers, signal: stopping.signal }));
  }
  process.stdout.write(values.json ? `${JSON.stringify({ options, reports }, null, 2)}\n` : table(reports, options));
  if (!reports.every(({ exact }) => exact.eachChunkOnce)) process.exitCode = 1;
}

/** Formats the reports as a table with one column for each number of workers. */
function table(reports, { seed, chunks }) {
  const percent = (share) => `${(100 * share).toFixed(1)} %`;
  const lines = {
    'seconds until all have joined': ({ join }) => join.seconds.toFixed(0),
    'chunks/s': ({ steady }) => (steady.chunks / steady.seconds).toFixed(1),
    'Redis commands/s': ({ steady }) => steady.calls.toFixed(0),
    'Redis CPU': ({ steady }) => percent(steady.cpu),
    'Redis commands/s, each idle worker': ({ perWorker }) => perWorker.calls.toFixed(1),
    'Redis CPU, each idle worker': ({ perWorker }) => percent(perWorker.cpu),
    'Redis sends, each idle worker': ({ perWorker }) => `${(perWorker.sentBytes / 1000).toFixed(1)} kB/s`,
    'Redis commands, each chunk': ({ perChunk }) => perChunk.calls.toFixed(0),
    'Redis CPU, each chunk': ({ perChunk }) => `${(1000 * perChunk.cpu).toFixed(2)} ms`,
    'Redis memory over its start': ({ most }) => `${(most.memory / 1e6).toFixed(1)} MB`,
    connections: ({ most }) => most.clients,
    'chunks in flight, most': ({ most }) => most.inFlight,
    "coordinator's CPU, each chunk": ({ coordinator }) => `${(1000 * coordinator.secondsPerChunk).toFixed(1)} ms`,
    "coordinator's longest delay": ({ coordinator }) => `${coordinator.longestDelay.toFixed(0)} ms`,
    "coordinator's heap": ({ coordinator }) => `${(coordinator.heap / 1e6).toFixed(0)} MB`,
    'commit, each chunk': ({ commitSeconds }) => `${((1000 * commitSeconds) / chunks).toFixed(1)} ms`,
    'slowest Redis command': ({ slow }) => `${(slow.slowest[0]?.milliseconds ?? 0).toFixed(0)} ms`,
    'killed: chunks lost': ({ recovery }) => recovery?.jobs ?? '–',
    'killed: all back after': ({ recovery }) => (recovery ? `${recovery.last.toFixed(1)} s` : '–'),
    'killed: coordinated again after': ({ recovery }) =>
      recovery?.coordinated ? `${recovery.coordinated.toFixed(1)} s` : '–',
    'shards written again': ({ exact }) => exact.writtenAgain,
    'each chunk once': ({ exact }) => (exact.eachChunkOnce ? 'yes' : 'NO'),
  };
  const rows = [
    ['workers', ...reports.map(({ workers }) => workers)],
    ['', ...reports.map(() => '')],
    ...Object.entries(lines).map(([name, cell]) => [name, ...reports.map(cell)]),
  ].map((cells) => cells.map(String));
  const widths = rows[0].map((_, column) => Math.max(3, ...rows.map((cells) => cells[column].length)));
  rows[1] = widths.map((width, column) => '-'.repeat(width - 1) + (column === 0 ? '-' : ':'));
  const text = rows
    .map((cells) => `| ${cells.map((cell, column) => cell.padEnd(widths[column])).join(' | ')} |`)
    .join('\n');
  return `${chunks} chunks, seed ${seed}, ${cpus().length} × ${cpus()[0]?.model ?? 'CPU'}, Node ${process.versions.node}\n\n${text}\n`;
}
