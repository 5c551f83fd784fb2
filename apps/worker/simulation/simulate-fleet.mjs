// Simulates many workers with a real Redis, a fake object store with realistic delays, and the real worker code, with
// many workers in each process and a stub for the model. A chunk has only a few rows, because the load of Redis and of
// the coordinator depends on the number of chunks, not of rows.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { createHash } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectRedis, QueueOverview, queueRuntime } from '@sentvec/queue';
import { startRedis, startS3 } from '@sentvec/testing';
import { embedCorpusWorkflow, hasEnded } from '@sentvec/workflow';
import { seededRandom } from '../chaos/random.mjs';
import { ratesBetween, readStatistics } from './redis-statistics.mjs';

const program = fileURLToPath(new URL('worker-process.mjs', import.meta.url));

/** Rows per chunk in the simulation. */
const storedRows = 2;

/** Default options of {@link simulateFleet}. */
const defaults = {
  concurrency: 2,
  chunkSeconds: 1,
  storeDelay: 20,
  window: 512,
  kill: 0,
  killCoordinator: false,
  processes: 2,
  seed: 1,
  idleSeconds: 10,
  recovery: {},
  say: () => {},
};

/** Simulates one run, and returns the measurements. `main.mjs --help` describes the options. */
export async function simulateFleet(options) {
  const simulation = new Simulation({ ...defaults, ...options });
  try {
    await simulation.open();
    return await simulation.run();
  } finally {
    await simulation.close();
  }
}

class Simulation {
  #options;
  #redis;
  #store;
  #connection;
  #overview;
  #runtime;
  #processes = [];
  /** Number of writes per object. */
  #writes = new Map();
  /** Times at which jobs of dead workers returned to the queue, and at which coordinators started. */
  #recovered = [];
  #coordinated = [];
  #warnings = new Map();
  #most = { memory: 0, clients: 0, inFlight: 0 };

  constructor(options) {
    this.#options = options;
  }

  async open() {
    const slowLog = ['--slowlog-log-slower-than', '2000', '--slowlog-max-len', '1000'];
    this.#redis = await startRedis({ arguments: slowLog });
    await this.#openStore();
    const { url } = this.#redis;
    this.#connection = await connectRedis(url, 'worker');
    this.#overview = new QueueOverview(this.#connection, 'sentvec');
    this.#runtime = await queueRuntime({ url, connectTimeout: 10_000 });
  }

  async #openStore() {
    const { seed, storeDelay, chunks } = this.#options;
    const random = seededRandom(seed);
    this.#store = await startS3({
      fault: async ({ method, key }) => {
        if (method === 'PUT') this.#writes.set(key, (this.#writes.get(key) ?? 0) + 1);
        await sleep(storeDelay * (0.5 + random()));
        return undefined;
      },
    });
    Object.assign(process.env, this.#store.environment);
    const line = (_, row) => `{"text":"Row ${row}"}\n`;
    this.#store.put('corpus.jsonl', Array.from({ length: chunks * storedRows }, line).join(''));
  }

  async run() {
    const { workers, kill, killCoordinator, processes, chunks, say, idleSeconds } = this.#options;
    const start = await readStatistics(this.#connection);
    this.#most.memory = start.memory;
    // Start this worker first, so that it becomes the coordinator of the run.
    const coordinator = await this.#launch(1);
    const startedAt = performance.now();
    const run = await this.#runtime.start(embedCorpusWorkflow(), {
      model: 'stand-in',
      request: { inputs: ['s3://bucket/corpus.jsonl'], output: 's3://bucket/vectors', chunkRows: storedRows },
    });
    await this.#until(run, 0.000_1);
    const doomed = Math.round(kill * workers);
    const sizes = [...(doomed > 0 ? [doomed] : []), ...split(workers - 1 - doomed, processes)];
    say(`${workers - 1} workers join at once …`);
    const beforeJoin = await readStatistics(this.#connection);
    const fleet = await Promise.all(sizes.map((size) => this.#launch(size)));
    const joined = await readStatistics(this.#connection);
    say(`… within ${(joined.at - beforeJoin.at).toFixed(1)} s`);
    const before = await this.#report(coordinator);
    const doneThen = await this.#done(run);
    await this.#until(run, doomed > 0 ? 0.5 : 1);
    const steady = await readStatistics(this.#connection);
    const coordination = await this.#report(coordinator);
    const chunksMeanwhile = (await this.#done(run)) - doneThen;
    if (chunksMeanwhile === 0) throw new Error('The run was over before all workers had joined: give it more rows.');
    const recovery =
      doomed > 0 ? await this.#kill(killCoordinator ? [fleet[0], coordinator] : [fleet[0]], run) : undefined;
    await this.#until(run, 1);
    const embeddedAt = performance.now();
    const result = await run.result();
    const commitSeconds = (performance.now() - embeddedAt) / 1000;
    const slow = await this.#slowest();
    const seconds = (performance.now() - startedAt) / 1000;
    say(`${result.shards} chunks in ${seconds.toFixed(0)} s. The fleet idles for ${idleSeconds} s …`);
    const idleFrom = await readStatistics(this.#connection);
    await sleep(idleSeconds * 1000);
    const end = await readStatistics(this.#connection);
    const idle = ratesBetween(idleFrom, end);
    const busy = ratesBetween(joined, steady);
    const alive = workers - doomed - (recovery && killCoordinator ? 1 : 0);
    const names = ['calls', 'cpu', 'sentBytes'];
    const perWorker = Object.fromEntries(names.map((name) => [name, idle[name] / alive]));
    const perChunk = Object.fromEntries(
      names.map((name) => [name, ((busy[name] - perWorker[name] * workers) * busy.seconds) / chunksMeanwhile]),
    );
    return {
      workers,
      chunks,
      seconds,
      join: ratesBetween(beforeJoin, joined),
      steady: { ...busy, chunks: chunksMeanwhile },
      idle,
      perWorker,
      perChunk,
      most: { ...this.#most, memory: this.#most.memory - start.memory },
      coordinator: {
        ...coordination,
        secondsPerChunk: (coordination.cpuSeconds - before.cpuSeconds) / chunksMeanwhile,
      },
      recovery,
      commitSeconds,
      slow,
      calls: Object.fromEntries(Object.entries(end.commands).map(([name, { calls }]) => [name, calls])),
      warnings: Object.fromEntries(this.#warnings),
      exact: this.#check(result),
    };
  }

  /** Starts a process with several workers, and waits until they accept jobs. */
  async #launch(workers) {
    const { concurrency, window, chunkSeconds, recovery, seed } = this.#options;
    const { url } = this.#redis;
    const settings = { url, workers, concurrency, window, chunkSeconds, recovery, seed: seed + this.#processes.length };
    const child = fork(program, [JSON.stringify(settings)], { stdio: 'inherit' });
    const started = { child, isAlive: () => child.exitCode === null && child.signalCode === null };
    this.#processes.push(started);
    child.on('message', (message) => this.#heard(message));
    await new Promise((resolve, reject) => {
      child.on('message', ({ type }) => type === 'ready' && resolve());
      child.once('exit', (code) => reject(new Error(`A process with ${workers} workers exited with code ${code}.`)));
    });
    return started;
  }

  #heard({ type, message, error }) {
    if (type === 'recovered') this.#recovered.push(performance.now());
    if (type === 'coordinates') this.#coordinated.push(performance.now());
    if (type !== 'warning') return;
    const text = `${message}: ${error}`.slice(0, 200);
    this.#warnings.set(text, (this.#warnings.get(text) ?? 0) + 1);
  }

  async #report({ child }) {
    return new Promise((resolve) => {
      const listener = (message) => {
        if (message.type !== 'report') return;
        child.off('message', listener);
        resolve(message);
      };
      child.on('message', listener);
      child.send('report');
    });
  }

  async #done(run) {
    const { total } = await run.status();
    return Math.floor((total?.rows ?? 0) / storedRows);
  }

  /** Waits until a share of the chunks is done, and records the peak values meanwhile. */
  async #until(run, share) {
    for (;;) {
      const [status, statistics, counts] = await Promise.all([
        run.status(),
        readStatistics(this.#connection),
        this.#overview.counts(),
      ]);
      this.#options.signal?.throwIfAborted();
      const inFlight = counts.waiting + counts.active + counts.delayed;
      for (const [name, value] of Object.entries({ memory: statistics.memory, clients: statistics.clients, inFlight }))
        this.#most[name] = Math.max(this.#most[name], value);
      if (hasEnded(status.state) || (status.total?.rows ?? 0) >= share * this.#options.chunks * storedRows) return;
      await sleep(250);
    }
  }

  /** Kills processes with SIGKILL, and waits until the jobs of their workers are back in the queue. */
  async #kill(doomed, run) {
    const [before, coordinators] = [this.#recovered.length, this.#coordinated.length];
    const killedAt = performance.now();
    for (const { child } of doomed) {
      child.removeAllListeners('exit');
      child.kill('SIGKILL');
    }
    const chunks = await this.#done(run);
    // If no further job has returned within this time, all have.
    const quiet = 5000;
    const isOver = () => {
      const isCoordinated = !this.#options.killCoordinator || this.#coordinated.length > coordinators;
      return isCoordinated && this.#recovered.length > before && performance.now() - this.#recovered.at(-1) > quiet;
    };
    for (; !isOver(); await sleep(100)) {
      if (hasEnded((await run.status()).state)) break;
    }
    const times = this.#recovered.slice(before).map((at) => (at - killedAt) / 1000);
    const coordinated = this.#coordinated[coordinators];
    return {
      jobs: times.length,
      first: Math.min(...times),
      last: Math.max(...times),
      coordinated: coordinated && (coordinated - killedAt) / 1000,
      meanwhile: (await this.#done(run)) - chunks,
    };
  }

  /** Returns the slowest Redis commands. */
  async #slowest() {
    const entries = await this.#connection.call('SLOWLOG', 'GET', '1000');
    return {
      commands: entries.length,
      slowest: entries
        .map(([, , microseconds, words]) => ({
          milliseconds: microseconds / 1000,
          command: words.slice(0, 4).join(' ').slice(0, 120),
        }))
        .sort((a, b) => b.milliseconds - a.milliseconds)
        .slice(0, 3),
    };
  }

  /** Checks that the output has each chunk once, and counts the shards that were written more than once. */
  #check(result) {
    const { chunks } = this.#options;
    const objects = this.#store.objects();
    const manifest = JSON.parse(objects.get('vectors/manifest.json').bytes.toString());
    const isWhole = manifest.shards.every(({ file, sha256, rows }) => {
      const bytes = objects.get(`vectors/${file}`)?.bytes;
      return rows === storedRows && bytes && createHash('sha256').update(bytes).digest('hex') === sha256;
    });
    const contents = new Set(manifest.shards.map(({ content }) => content)).size;
    const files = manifest.shards.map(({ file }) => this.#writes.get(`vectors/${file}`) ?? 0);
    return {
      eachChunkOnce: manifest.complete && isWhole && contents === chunks && result.rows === chunks * storedRows,
      left: [...objects.keys()].filter((key) => key.includes('.unfinished')).length,
      writtenAgain: files.reduce((sum, count) => sum + Math.max(0, count - 1), 0),
    };
  }

  async close() {
    for (const { child, isAlive } of this.#processes) {
      child.removeAllListeners('exit');
      if (!isAlive()) continue;
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    }
    await this.#overview?.close();
    await this.#runtime?.close();
    this.#connection?.disconnect();
    await this.#redis?.stop();
    await this.#store?.close();
  }
}

/** Splits a number into equal parts. */
function split(whole, parts) {
  return Array.from({ length: parts }, (_, part) => Math.floor((whole + part) / parts)).filter((size) => size > 0);
}
