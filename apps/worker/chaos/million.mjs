// Embeds a million rows (or --rows N) through Redis with two workers (or --workers N). After every 50,000 rows it
// prints the memory use of Redis and of the workers. Fails if Redis uses over 20 MB more than at the start, or if the
// memory of a worker grows after the first step by more than the factor --growth. With --storage s3 (gs, az) it then
// embeds the same corpus from an object store into that store, and compares rows per second and the CPU time of the
// workers, which does not depend on other programs.
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectRedis, queueRuntime } from '@sentvec/queue';
import { goldenPath, startRedis } from '@sentvec/testing';
import { embedCorpusWorkflow, hasEnded } from '@sentvec/workflow';
import { schemes, startStore } from './bucket.mjs';
import { writeCorpus } from './corpus.mjs';
import { killWorkers, startWorker } from './workers.mjs';

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '1000000' },
    step: { type: 'string', default: '50000' },
    growth: { type: 'string', default: '1.15' },
    workers: { type: 'string', default: '2' },
    storage: { type: 'string', default: 'folder' },
    model: { type: 'string', default: goldenPath('models/tiny-bert') },
  },
});
const { storage: scheme, model } = values;
if (!['folder', ...schemes].includes(scheme))
  throw new Error(`--storage must be folder or one of ${schemes.join(', ')}, not ${scheme}.`);
const [rows, step, count] = [Number(values.rows), Number(values.step), Number(values.workers)];
const megabytes = (bytes) => (bytes / 1e6).toFixed(1);
const say = (line) => process.stdout.write(`${line}\n`);

const root = await mkdtemp(join(tmpdir(), 'sentvec-million-'));
const redis = await startRedis();
const store = scheme === 'folder' ? undefined : await startStore(scheme);
Object.assign(process.env, store?.environment);
try {
  await main();
} finally {
  killWorkers();
  await store?.close();
  await redis.stop();
  await rm(root, { recursive: true, force: true });
}

async function main() {
  const corpus = join(root, 'corpus.jsonl');
  await writeCorpus(corpus, rows);
  const settings = {
    SENTVEC_REDIS_URL: redis.url,
    SENTVEC_ROOTS: root,
    ...(store && { SENTVEC_BUCKETS: `${scheme}://bucket` }),
    SENTVEC_MODELS: model,
    SENTVEC_PORT: '0',
    SENTVEC_THREADS: '1',
  };
  const workers = await Promise.all(Array.from({ length: count }, () => startWorker(settings)));
  const connection = await connectRedis(redis.url, 'worker');
  const runtime = await queueRuntime({ url: redis.url });
  const fleet = { workers, connection, runtime };
  say(`${count} workers of one thread on ${availableParallelism()} cores`);
  const inFolder = await embed(fleet, corpus, join(root, 'out'));
  if (store) {
    store.put('corpus.jsonl', await readFile(corpus));
    const inStore = await embed(fleet, `${scheme}://bucket/corpus.jsonl`, `${scheme}://bucket/out`);
    const percent = (ratio) => `${(100 * ratio).toFixed(1)} %`;
    const speed = inFolder.seconds / inStore.seconds;
    const processor = inStore.processor / inFolder.processor;
    say(`${scheme}:// against files: ${percent(speed)} of the speed, ${percent(processor)} of the CPU time`);
  }
  connection.disconnect();
  await runtime.close();
}

/** Embeds a corpus with the workers, and records their memory. */
async function embed({ workers, connection, runtime }, input, output) {
  const used = async () => Number(/used_memory:(\d+)/.exec(await connection.info('memory'))[1]);
  const start = await used();
  const [startedAt, processorAt] = [performance.now(), await processorSeconds(workers)];
  const run = await runtime.start(embedCorpusWorkflow(), { model, request: { inputs: [input], output } });
  let most = 0;
  const samples = [];
  for (let status = await run.status(); ; status = await run.status()) {
    most = Math.max(most, (await used()) - start);
    const done = status.total?.rows ?? 0;
    if (done >= (samples.length + 1) * step) {
      const memory = await Promise.all(workers.map(({ pid }) => residentMemory(pid)));
      samples.push(memory);
      say(
        `${done} rows: Redis at most ${megabytes(most)} MB more than at the start, workers ${memory.map(megabytes).join(', ')} MB`,
      );
    }
    if (hasEnded(status.state)) break;
    await sleep(200);
  }
  const result = await run.result();
  const seconds = (performance.now() - startedAt) / 1000;
  const processor = (await processorSeconds(workers)) - processorAt;
  say(
    `${input}: ${result.rows} rows in ${seconds.toFixed(0)} s, ${processor.toFixed(0)} s of CPU time of the workers; Redis used at most ${megabytes(most)} MB more than at the start`,
  );
  const last = samples.at(-1);
  const growth = (samples[0] ?? []).map((memory, index) => last[index] / memory);
  say(
    `worker memory at the end, divided by that after ${step} rows: ${growth.map((ratio) => ratio.toFixed(2)).join(', ')}`,
  );
  if (result.rows !== rows || most > 20e6 || growth.some((ratio) => ratio > Number(values.growth)))
    process.exitCode = 1;
  return { seconds, processor };
}

async function residentMemory(pid) {
  return 1024 * Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${pid}/status`, 'utf8'))[1]);
}

/** Returns the user and system time of the processes, in seconds. Linux reports it in ticks of 1/100 s. */
async function processorSeconds(workers) {
  const ticks = await Promise.all(
    workers.map(async ({ pid }) => {
      const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ').at(-1).split(' ');
      return Number(fields[11]) + Number(fields[12]);
    }),
  );
  return ticks.reduce((sum, each) => sum + each, 0) / 100;
}
