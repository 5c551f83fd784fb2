import { setTimeout as sleep } from 'node:timers/promises';
import { hasEnded } from '@sentvec/workflow';
import { pick } from './random.mjs';

/**
 * Milliseconds that a frozen worker sleeps at least: longer than its lock lives. It is woken when others have its
 * steps.
 */
const freeze = 12_000;
/** Milliseconds after which a job that no worker has taken over counts as lost. */
const takeoverTimeout = 120_000;

/**
 * The faults of a fleet. Each method returns at once what it did, and gives a promise of the milliseconds after which
 * another worker had, or had done, every step of the victim. The next disaster may happen before that.
 */
export class Disasters {
  #context;
  #frozen = new Set();
  #underway = new Set();

  /**
   * @param context `{ random, redis, steps, workers, replace, position, run, again, commands, fillDisk, seconds }`:
   * `position` gives `{ done, ended }` of the run, `again` submits it once more, `commands` counts those of Redis,
   * `fillDisk` gives what empties the disk again
   */
  constructor(context) {
    this.#context = context;
  }

  /** `kill -9`, and a new worker in its place. */
  async kill() {
    const victim = await this.#victim();
    victim.kill('SIGKILL');
    const replaced = this.#context.replace(victim);
    const recovered = this.#track(
      Promise.all([this.#recoveries(victim, victim.ended), replaced]).then(([times]) => times),
    );
    return { what: 'worker killed', pid: victim.pid, recovered };
  }

  /** SIGSTOP until the locks have expired, then SIGCONT. */
  async freeze() {
    return this.#freeze(await this.#victim(), 'worker frozen');
  }

  /**
   * Freezes the worker that prepares the output folder. It wakes in the middle of the run that another has prepared.
   */
  async freezeDuringPreparation() {
    const { workers, steps } = this.#context;
    for (const startedAt = performance.now(); performance.now() - startedAt < takeoverTimeout;) {
      const preparing = (await steps.getActive()).find(({ name }) => name === 'prepare');
      const victim = workers.find((worker) => isHeldBy(preparing, worker));
      if (victim) return this.#freeze(victim, 'worker frozen during the preparation');
    }
    throw new Error('No worker prepared the run.');
  }

  /** Pauses the run. */
  async pause() {
    const { run, commands, seconds } = this.#context;
    await this.#mustGoOn('pause', () => run.pause(), 'paused');
    // What has begun may finish.
    await sleep(3000);
    const [before, startedAt] = [await commands(), performance.now()];
    await sleep(seconds * 1000);
    const perSecond = ((await commands()) - before) / ((performance.now() - startedAt) / 1000);
    await this.#mustGoOn('resume', () => run.resume(), 'running');
    const what = `run paused for ${seconds} s: ${perSecond.toFixed(0)} Redis commands a second`;
    return { what, recovered: Promise.resolve([]) };
  }

  /** Takes all room of the disk for a while. */
  async fillDisk() {
    const { fillDisk, seconds, run } = this.#context;
    const empty = await fillDisk();
    await sleep(seconds * 1000);
    const { state, notice, error } = await run.status();
    empty();
    if (state !== 'running') throw new Error(`The full disk has ended the run: ${state}. ${error?.message ?? ''}`);
    return { what: `disk filled for ${seconds} s; the run said: ${notice}`, recovered: Promise.resolve([]) };
  }

  /** The same request is the same run, and another that writes the same is refused. */
  async submitAgain() {
    const { run, again } = this.#context;
    const same = await again({});
    if (same.id !== run.id) throw new Error(`The same request became another run, ${same.id}.`);
    const refused = await again({ chunkRows: 17 }).catch((error) => error);
    if (refused.code !== 'invalid-output') throw new Error(`A second run writes to the same folder: ${refused.id}.`);
    return { what: 'submitted twice', recovered: Promise.resolve([]) };
  }

  async #mustGoOn(what, change, state) {
    await change();
    const now = (await this.#context.run.status()).state;
    if (hasEnded(now)) throw new Error(`The run was ${now} before its ${what}: use more rows.`);
    if (now !== state) throw new Error(`After the ${what} the run is ${now}.`);
  }

  async #freeze(victim, what) {
    victim.kill('SIGSTOP');
    this.#frozen.add(victim);
    const thaw = async () => {
      const [times] = await Promise.all([this.#recoveries(victim), sleep(freeze)]);
      victim.kill('SIGCONT');
      this.#frozen.delete(victim);
      return times;
    };
    const recovered = this.#track(thaw());
    return { what, pid: victim.pid, recovered };
  }

  /**
   * `kill -9` of Redis; back from its append-only file after a moment. Not while others still recover: that is measured
   * by itself.
   */
  async restartRedis() {
    const { random, redis, position } = this.#context;
    await Promise.all(this.#underway);
    const before = await position();
    await redis.kill();
    await sleep(500 + random() * 2500);
    await redis.restart();
    const startedAt = performance.now();
    for (let now = before; now.done <= before.done && !now.ended; now = await position()) await sleep(100);
    return { what: 'Redis killed', recovered: Promise.resolve([]), progressAfter: performance.now() - startedAt };
  }

  /** A worker at random, in the middle of a chunk: there is little to see when an idle one dies. */
  async #victim() {
    const { random, workers, steps } = this.#context;
    const startedAt = performance.now();
    for (;;) {
      const active = await steps.getActive();
      const awake = workers.filter((worker) => !this.#frozen.has(worker));
      const busy = awake.filter((worker) => active.some((job) => isHeldBy(job, worker)));
      if (busy.length > 0) return pick(random, busy);
      if (performance.now() - startedAt > takeoverTimeout) return pick(random, awake);
      await sleep(5);
    }
  }

  #track(recovery) {
    this.#underway.add(recovery);
    void recovery.finally(() => this.#underway.delete(recovery)).catch(() => {});
    return recovery;
  }

  /** How long it takes until other workers have, or have done, every step of a worker that has stopped. */
  async #recoveries(victim, stopped) {
    const { steps } = this.#context;
    const startedAt = performance.now();
    await stopped;
    const waiting = new Set((await steps.getActive()).filter((job) => isHeldBy(job, victim)).map((job) => job.id));
    const times = [];
    while (waiting.size > 0) {
      for (const id of waiting) {
        if (isHeldBy(await steps.getJob(id), victim)) continue;
        waiting.delete(id);
        times.push(performance.now() - startedAt);
      }
      if (performance.now() - startedAt > takeoverTimeout)
        throw new Error(`No worker took over ${[...waiting].join(', ')}.`);
      await sleep(100);
    }
    return times;
  }
}

/** Whether a worker has a job: the id of the worker contains that of its process. */
function isHeldBy(job, { pid }) {
  return job?.processedBy?.includes(`-${pid}-`) ?? false;
}
