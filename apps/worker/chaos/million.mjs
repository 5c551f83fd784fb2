// Sends a million rows (or --rows N) through Redis with two workers, and prints every 50,000 rows what memory Redis and
// the workers take. Fails when Redis holds more than 20 MB over its start, or a worker grows by more than --growth
// after the first step.
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectRedis, queueRuntime } from '@sentvec/queue';
import { goldenPath, startRedis } from '@sentvec/testing';
import { embedCorpusWorkflow, hasEnded } from '@sentvec/workflow';
import { writeCorpus } from './corpus.mjs';
import { killWorkers, startWorker } from './workers.mjs';

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '1000000' },
    step: { type: 'string', default: '50000' },
    growth: { type: 'string', default: '1.15' },
  },
});
const [rows, step] = [Number(values.rows), Number(values.step)];
const model = goldenPath('models/tiny-bert');
const megabytes = (bytes) => (bytes / 1e6).toFixed(1);
const say = (line) => process.stdout.write(`${line}\n`);

const root = await mkdtemp(join(tmpdir(), 'sentvec-million-'));
const redis = await startRedis();
const workers = [];
try {
  await main();
} finally {
  killWorkers();
  await redis.stop();
  await rm(root, { recursive: true, force: true });
}

async function main() {
  await writeCorpus(join(root, 'corpus.jsonl'), rows);
  const settings = {
    SENTVEC_REDIS_URL: redis.url,
    SENTVEC_ROOTS: root,
    SENTVEC_MODELS: model,
    SENTVEC_PORT: '0',
    SENTVEC_THREADS: '1',
  };
  const connection = await connectRedis(redis.url, 'worker');
  const used = async () => Number(/used_memory:(\d+)/.exec(await connection.info('memory'))[1]);
  const start = await used();
  workers.push(await startWorker(settings), await startWorker(settings));
  const runtime = await queueRuntime({ url: redis.url });
  const startedAt = performance.now();
  const run = await runtime.start(embedCorpusWorkflow(), {
    model,
    request: { inputs: [join(root, 'corpus.jsonl')], output: join(root, 'out') },
  });
  let most = 0;
  const samples = [];
  for (let status = await run.status(); ; status = await run.status()) {
    most = Math.max(most, (await used()) - start);
    const done = status.total?.rows ?? 0;
    if (done >= (samples.length + 1) * step) {
      const memory = await Promise.all(workers.map(({ pid }) => residentMemory(pid)));
      samples.push(memory);
      say(
        `${done} rows: Redis ${megabytes(most)} MB over its start at most, workers ${memory.map(megabytes).join(' and ')} MB`,
      );
    }
    if (hasEnded(status.state)) break;
    await sleep(200);
  }
  const result = await run.result();
  say(
    `${result.rows} rows in ${((performance.now() - startedAt) / 1000).toFixed(0)} s; Redis held at most ${megabytes(most)} MB over its start`,
  );
  const [first, last] = [samples[0], samples.at(-1)];
  const growth = first.map((memory, index) => last[index] / memory);
  say(
    `memory of the workers at the end over that after ${step} rows: ${growth.map((ratio) => ratio.toFixed(2)).join(' and ')}`,
  );
  connection.disconnect();
  await runtime.close();
  if (result.rows !== rows || most > 20e6 || growth.some((ratio) => ratio > Number(values.growth)))
    process.exitCode = 1;
}

async function residentMemory(pid) {
  return 1024 * Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${pid}/status`, 'utf8'))[1]);
}
