import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { onnx } from '@sentvec/backend-onnx';
import { cacheDirectory, loadEmbedder } from '@sentvec/core/node';
import { queueRuntime } from '@sentvec/queue';
import { startRedis } from '@sentvec/testing';
import { embedCorpusWorkflow, inProcessRuntime, type Runtime } from '@sentvec/workflow';
import { miniLm } from './models/mini-lm.ts';
import { printReport } from './report.ts';
import { median } from './rounds.ts';
import { shortSentences } from './workloads/short-sentences.ts';

const usage = `pnpm bench queue [--rounds N] [--rows N] [--json]

Embeds the same corpus in this process and through Redis by one worker process, in turns, on the same cores with the same model.
--rounds  rounds that count, after one to warm up; default 3
--rows    rows of the corpus; default 8192
--json    print JSON
`;

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    rows: { type: 'string', default: '8192' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) process.stdout.write(usage);
else await main(Number(values.rounds), Number(values.rows));

async function main(rounds: number, rows: number): Promise<void> {
  const model = await miniLm.prepare(join(cacheDirectory(), 'bench'));
  const root = await mkdtemp(join(tmpdir(), 'sentvec-bench-queue-'));
  const redis = await startRedis();
  const embedder = await loadEmbedder(model, { backend: onnx() });
  const worker = await startWorker({
    SENTVEC_REDIS_URL: redis.url,
    SENTVEC_ROOTS: root,
    SENTVEC_MODELS: model,
    SENTVEC_PORT: '0',
  });
  const through = await queueRuntime({ url: redis.url });
  try {
    const corpus = await writeCorpus(join(root, 'corpus.jsonl'), rows);
    const request = (name: string) => ({ inputs: [corpus], output: join(root, name), chunkRows: 512 });
    const here = inProcessRuntime();
    const workflow = embedCorpusWorkflow({ embedder: async () => embedder });
    const timesHere: number[] = [];
    const timesThrough: number[] = [];
    for (let round = 0; round <= rounds; round += 1) {
      const [first, second] = [await time(here, `here-${round}`), await time(through, `through-${round}`)];
      if (round === 0) continue;
      timesHere.push(first);
      timesThrough.push(second);
    }
    report(rows, timesHere, timesThrough);

    async function time(runtime: Runtime, name: string): Promise<number> {
      const startedAt = performance.now();
      await (await runtime.start(workflow, { model, request: request(name) })).result();
      return (performance.now() - startedAt) / 1000;
    }
  } finally {
    await through.close();
    worker.kill('SIGKILL');
    await embedder.dispose();
    await redis.stop();
    await rm(root, { recursive: true, force: true });
  }
}

function report(rows: number, here: readonly number[], through: readonly number[]): void {
  const ratios = here.map((seconds, round) => seconds / through[round]!);
  const row = (name: string, seconds: number, ...cells: string[]) => [
    name,
    (rows / seconds).toFixed(0),
    seconds.toFixed(1),
    ...cells,
  ];
  const share = (ratio: number): string => `${(100 * ratio).toFixed(1)} %`;
  const table = {
    header: ['corpus', 'rows/s', 'seconds', 'of the speed in this process', 'in the rounds'],
    rows: [
      row('in this process', median(here), '', ''),
      row('through Redis', median(through), share(median(ratios)), ratios.map(share).join(', ')),
    ],
  };
  const method = `${miniLm.name}, ${rows} rows of ${shortSentences.description}, ${here.length} rounds`;
  printReport({ method, tables: [table], results: { rows, here, through } }, values.json);
}

async function writeCorpus(path: string, rows: number): Promise<string> {
  const texts = await shortSentences.texts();
  const lines = Array.from({ length: rows }, (_, row) => `${JSON.stringify({ text: texts[row % texts.length] })}\n`);
  await writeFile(path, lines.join(''));
  return path;
}

/** Starts the worker process, and waits until it accepts jobs. */
async function startWorker(environment: Readonly<Record<string, string>>): Promise<ChildProcess> {
  const worker = spawn(process.execPath, [join(import.meta.dirname, 'queue-worker.js')], {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const log: string[] = [];
  await new Promise<void>((resolve, reject) => {
    createInterface({ input: worker.stderr }).on('line', (line) => {
      log.push(line);
      if (line.includes('"serving"')) resolve();
    });
    worker.once('exit', () =>
      reject(
        new Error(`The worker exited:
${log.join('\n')}`),
      ),
    );
  });
  return worker;
}
