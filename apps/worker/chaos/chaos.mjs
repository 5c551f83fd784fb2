// Embeds a corpus with several workers. Meanwhile it kills and freezes workers, kills Redis, fills the disk, pauses the
// run, submits it again, and starts workers that cannot execute its steps or have another workflow. Compares the output
// with that of an undisturbed run, byte for byte. Then damages inputs and outputs of runs: each run must end with the
// correct output or fail with an error that names the file. The same seed selects the same faults at the same progress.
import { cp, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { setTimeout as sleep } from 'node:timers/promises';
import { onnx } from '@sentvec/backend-onnx';
import { loadEmbedder } from '@sentvec/core/node';
import { connectRedis, QueueOverview, queueRuntime } from '@sentvec/queue';
import { goldenPath, startRedis } from '@sentvec/testing';
import { embedCorpusWorkflow, hasEnded, inProcessRuntime } from '@sentvec/workflow';
import { mustEqualFolder, schemes, startBucket } from './bucket.mjs';
import { hashes, writeCorpus } from './corpus.mjs';
import { damageFolders } from './damage.mjs';
import { Disasters } from './disasters.mjs';
import { seededRandom } from './random.mjs';
import { fill, mountSmallDisk, unmount } from './small-disk.mjs';
import { killWorkers, startWorker } from './workers.mjs';

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    rows: { type: 'string', default: '50000' },
    kills: { type: 'string', default: '10' },
    'redis-kills': { type: 'string', default: '2' },
    freezes: { type: 'string', default: '1' },
    preparations: { type: 'string', default: '1' },
    pauses: { type: 'string', default: '1' },
    'full-disks': { type: 'string', default: '1' },
    submits: { type: 'string', default: '2' },
    wrong: { type: 'string', default: '1' },
    damages: { type: 'string', default: '1' },
    // Duration of a pause and of a full disk, in seconds.
    seconds: { type: 'string', default: '60' },
    workers: { type: 'string', default: '3' },
    'chunk-rows': { type: 'string', default: '250' },
    // The rate limit, as chunks/seconds. It is low, so that the run outlasts all faults, even on a fast machine.
    rate: { type: 'string', default: '2/1' },
    // With `s3`, `gs` or `az`, the workers share only Redis and a bucket, in a fake object store that fails some
    // requests.
    storage: { type: 'string', default: 'folder' },
  },
});
const counts = Object.fromEntries(Object.entries(values).map(([name, value]) => [name, Number(value)]));
const say = (line) => process.stdout.write(`${line}\n`);
const seconds = (milliseconds) => `${(milliseconds / 1000).toFixed(1)} s`;

const root = await mkdtemp(join(tmpdir(), 'sentvec-chaos-'));
const scheme = values.storage;
if (scheme !== 'folder' && !schemes.includes(scheme))
  throw new Error(`--storage must be folder or one of ${schemes.join(', ')}, not ${scheme}.`);
const inBucket = scheme !== 'folder';
const redis = await startRedis();
const bucket = inBucket ? await startBucket(scheme, seededRandom(counts.seed)) : undefined;
Object.assign(process.env, bucket?.environment);
const model = join(root, 'model');
const disk = join(root, 'disk');
await cp(goldenPath('models/tiny-bert'), model, { recursive: true });
const canMount = mountSmallDisk(disk, 64);
if (inBucket) Object.assign(counts, { 'full-disks': 0, damages: 0 });
const workers = [];
const wrongWorkers = new Map();
let failure;
try {
  await main();
} catch (error) {
  failure = error;
} finally {
  killWorkers();
  await redis.stop();
  await bucket?.close();
  if (canMount) unmount(disk);
  await rm(root, { recursive: true, force: true });
}
if (failure) {
  process.stderr.write(`chaos: ${failure.stack ?? failure}\n`);
  process.exit(1);
}

async function main() {
  const { rows, workers: fleet } = counts;
  say(
    `seed ${counts.seed}: ${rows} rows, ${fleet} workers on ${availableParallelism()} cores (--seed ${counts.seed} repeats this)`,
  );
  const corpus = join(root, 'corpus.jsonl');
  await writeCorpus(corpus, rows);
  const request = (output) => ({ inputs: [corpus], output: join(disk, output), chunkRows: counts['chunk-rows'] });

  const startedAt = performance.now();
  const fingerprint = await undisturbed(request('undisturbed'));
  say(`undisturbed, in one process: ${seconds(performance.now() - startedAt)}`);
  const files = inBucket
    ? await disturbedInBucket(corpus, request, fingerprint)
    : await disturbedInFolder(request, fingerprint);
  say(`all ${files} files are identical to those of the undisturbed run, byte for byte`);
  if (counts.damages > 0)
    await damageFolders({
      model,
      fingerprint,
      root,
      disk,
      redis,
      random: seededRandom(counts.seed),
      undisturbed,
      mustBeIdentical,
      say,
    });
}

/** @returns number of files */
async function disturbedInFolder(request, fingerprint) {
  await disturbed(request('disturbed'), fingerprint);
  return mustBeIdentical(join(disk, 'disturbed'), join(disk, 'undisturbed'));
}

/** @returns number of files */
async function disturbedInBucket(corpus, request, fingerprint) {
  const stored = `${scheme}://bucket/corpus.jsonl`;
  bucket.put('corpus.jsonl', await readFile(corpus));
  await disturbed({ ...request('disturbed'), inputs: [stored], output: `${scheme}://bucket/disturbed` }, fingerprint);
  const { calls, failed, lost } = bucket.counts;
  say(`${calls} requests to the store, of which ${failed} failed; ${lost} responses were dropped`);
  return mustEqualFolder(bucket, 'disturbed', join(disk, 'undisturbed'), [corpus, stored]);
}

/** @returns number of files */
async function mustBeIdentical(folder, undisturbedFolder) {
  const [expected, actual] = [await hashes(undisturbedFolder), await hashes(folder)];
  const names = new Set([...Object.keys(expected), ...Object.keys(actual)]);
  const different = [...names].filter((name) => expected[name] !== actual[name]);
  if (different.length > 0) throw new Error(`These files differ from the undisturbed run: ${different.join(', ')}.`);
  return names.size;
}

/** @returns the fingerprint of the model: workers with other weights serve the queue too, and start later */
async function undisturbed(request) {
  const embedder = await loadEmbedder(model, { backend: onnx({ sessions: 1, threadsPerSession: 1 }) });
  const run = await inProcessRuntime().start(embedCorpusWorkflow({ embedder: async () => embedder }), {
    model,
    request,
  });
  await run.result();
  const { hash } = await embedder.fingerprint();
  await embedder.dispose();
  return hash;
}

async function disturbed(request, fingerprint) {
  const settings = {
    SENTVEC_REDIS_URL: redis.url,
    ...(inBucket ? { SENTVEC_BUCKETS: `${scheme}://bucket` } : { SENTVEC_ROOTS: root }),
    SENTVEC_MODELS: model,
    SENTVEC_PORT: '0',
    SENTVEC_THREADS: '1',
    SENTVEC_RATE_LIMIT: values.rate,
  };
  workers.push(...(await Promise.all(Array.from({ length: counts.workers }, () => startWorker(settings)))));
  const runtime = await queueRuntime({ url: redis.url });
  const connection = await connectRedis(redis.url, 'worker');
  connection.on('error', () => {});
  const overview = new QueueOverview(connection, 'sentvec');
  const startedAt = performance.now();
  const run = await runtime.start(embedCorpusWorkflow(), { model, fingerprint, request });
  let position = { done: 0, ended: false };
  const look = async () => {
    // Redis may be down at this moment: the previous progress is used then.
    const status = await run.status().catch(() => undefined);
    if (status) position = { done: status.items?.done ?? 0, ended: hasEnded(status.state) };
    return position;
  };
  const random = seededRandom(counts.seed);
  const replace = async (victim) => {
    workers.splice(workers.indexOf(victim), 1);
    workers.push(await startWorker(settings));
  };
  const queues = async () => [overview.queues.steps, ...(await overview.modelQueues())];
  const steps = {
    getActive: async () => (await Promise.all((await queues()).map((queue) => queue.getActive()))).flat(),
    getJob: async (id) =>
      (await Promise.all((await queues()).map((queue) => queue.getJob(id)))).find((job) => job !== undefined),
  };
  const disasters = new Disasters({
    random,
    redis,
    steps,
    workers,
    replace,
    position: look,
    run,
    again: (changes) =>
      runtime.start(embedCorpusWorkflow(), { model, fingerprint, request: { ...request, ...changes } }),
    commands: async () => Number(/total_commands_processed:(\d+)/.exec(await connection.info('stats'))[1]),
    fillDisk: () => fill(disk),
    seconds: counts.seconds,
  });
  const happened = [];
  for (let count = 0; count < counts.preparations; count += 1) {
    const disaster = await disasters.freezeDuringPreparation();
    happened.push(disaster);
    say(`  at the beginning: ${disaster.what} (process ${disaster.pid})`);
  }
  // The worker that prepares a run records the fingerprint of its weights in the run, so unsuitable workers start
  // later.
  while (counts.wrong > 0 && (await look()).done < 1 && !position.ended) await sleep(50);
  if (counts.wrong > 0) say(`  at the beginning: workers started with ${(await startWrong(settings)).join(', ')}`);
  for (const { kind, at } of plan(random)) {
    while ((await look()).done < at && !position.ended) await sleep(50);
    if (position.ended) throw new Error('The run ended before all faults were injected: use more rows.');
    const disaster = await disasters[kind]();
    happened.push(disaster);
    const { what, pid, progressAfter } = disaster;
    const more = pid
      ? ` (process ${pid})`
      : progressAfter
        ? `; progress again ${seconds(progressAfter)} after its return`
        : '';
    say(`  at chunk ${position.done}: ${what}${more}`);
  }
  const result = await run.result();
  const milliseconds = performance.now() - startedAt;
  await report(happened, milliseconds);
  if (counts.wrong > 0) await reportWrong(overview);
  await check(run, result, connection);
  await overview.close();
  connection.disconnect();
  await runtime.close();
}

/** Schedules the faults in random order over the first three quarters of the run. */
function plan(random) {
  const chunks = Math.ceil(counts.rows / counts['chunk-rows']);
  const kinds = [
    ...Array.from({ length: counts.kills }, () => 'kill'),
    ...Array.from({ length: counts['redis-kills'] }, () => 'restartRedis'),
    ...Array.from({ length: counts.freezes }, () => 'freeze'),
    ...Array.from({ length: counts.pauses }, () => 'pause'),
    ...Array.from({ length: canMount ? counts['full-disks'] : 0 }, () => 'fillDisk'),
    ...Array.from({ length: counts.submits }, () => 'submitAgain'),
  ];
  if (!canMount && counts['full-disks'] > 0)
    say('the full disk is skipped: this user cannot mount a tmpfs on this machine');
  const shuffled = kinds.map((kind) => ({ kind, order: random() })).sort((a, b) => a.order - b.order);
  const moments = kinds.map(() => Math.floor((0.02 + 0.75 * random()) * chunks)).sort((a, b) => a - b);
  return shuffled.map(({ kind }, index) => ({ kind, at: moments[index] }));
}

/**
 * Starts workers that serve the queue but cannot execute the steps of the run, or have another version of its workflow.
 */
async function startWrong(settings) {
  const elsewhere = join(root, 'elsewhere');
  await mkdir(elsewhere, { recursive: true });
  const otherWeights = goldenPath('models/tiny-mpnet');
  const wrong = {
    'another list of models': [{ SENTVEC_MODELS: 'use-lite' }],
    'no access to the corpus': [inBucket ? { SENTVEC_BUCKETS: `${scheme}://other` } : { SENTVEC_ROOTS: elsewhere }],
    'a changed workflow': [{ SENTVEC_PLUGINS: fileURLToPath(new URL('changed-workflow.mjs', import.meta.url)) }],
    ...(canMount && { 'other weights': [{}, [otherWeights, model]] }),
  };
  for (const [name, [changes, mounted]] of Object.entries(wrong))
    wrongWorkers.set(name, await startWorker({ ...settings, ...changes }, mounted));
  return Object.keys(wrong);
}

/** Prints how many jobs each unsuitable worker refused, and the first reason. */
async function reportWrong(overview) {
  const refused = await overview.refusedJobs(1000);
  for (const [name, { pid }] of wrongWorkers) {
    const reasons = refused.filter(({ worker }) => worker.includes(`-${pid}-`)).map(({ reason }) => reason);
    say(`the worker with ${name} refused ${reasons.length} jobs${reasons.length > 0 ? `: ${reasons[0]}` : ''}`);
  }
}

async function report(happened, milliseconds) {
  const times = (await Promise.all(happened.map(({ recovered }) => recovered))).flat().sort((a, b) => a - b);
  const number = (what) => happened.filter((disaster) => disaster.what === what).length;
  say(
    `${number('worker killed')} workers killed, Redis killed ${number('Redis killed')} times, ${number('worker frozen')} workers frozen; the run took ${seconds(milliseconds)}`,
  );
  if (times.length === 0) return;
  say(
    `${times.length} chunks recovered; time to recover: median ${seconds(times[times.length >> 1])}, longest ${seconds(times.at(-1))}`,
  );
}

async function check(run, result, connection) {
  const { items, total, state } = await run.status();
  if (
    state !== 'completed' ||
    total.rows !== counts.rows ||
    result.rows !== counts.rows ||
    result.rejected !== 0 ||
    items.done !== items.planned
  ) {
    throw new Error(`The counts are wrong: ${JSON.stringify({ state, items, total, result })}.`);
  }
  const left = async () => (await connection.keys('*')).filter((key) => /:(steps(-[0-9a-f]+)?|batches):r/.test(key));
  for (let attempt = 0; (await left()).length > 0; attempt += 1) {
    if (attempt > 300) throw new Error(`Redis still has jobs after the end of the run: ${(await left()).join(', ')}.`);
    await sleep(100);
  }
  say(`${items.done} chunks, ${total.rows} rows, no dead letters; no job is left in Redis`);
}
