import { setTimeout as sleep } from 'node:timers/promises';
import { hasEnded } from '@sentvec/workflow';
import { pick } from './random.mjs';

/**
 * Minimum time for which a worker stays frozen, in milliseconds: longer than its job locks. It is resumed when other
 * workers have its steps.
 */
const freeze = 12_000;
/** If no other worker takes over a job within this many milliseconds, the test fails. */
const takeoverTimeout = 120_000;

/**
 * Injects faults into a group of workers. Each method returns `{ what, recovered }`: a description, and a promise of
 * the times in milliseconds after which other workers had taken over or finished each step of the affected worker. The
 * next fault may be injected before that promise resolves.
 */
export class Disasters {
  #context;
  #frozen = new Set();
  #underway = new Set();

  /**
   * @param context `{ random, redis, steps, workers, replace, position, run, again, commands, fillDisk, seconds }`:
   * `position` returns `{ done, ended }` of the run, `again` submits it again, `commands` returns the number of
   * commands that Redis has executed, `fillDisk` fills the disk and returns a function that empties it
   */
  constructor(context) {
    this.#context = context;
  }

  /** Kills a worker with SIGKILL and starts another in its place. */
  async kill() {
    const victim = await this.#victim();
    victim.kill('SIGKILL');
    const replaced = this.#context.replace(victim);
    const recovered = this.#track(
      Promise.all([this.#recoveries(victim, victim.ended), replaced]).then(([times]) => times),
    );
    return { what: 'worker killed', pid: victim.pid, recovered };
  }

  /** Stops a worker with SIGSTOP until its job locks have expired, then resumes it with SIGCONT. */
  async freeze() {
    return this.#freeze(await this.#victim(), 'worker frozen');
  }

  /**
   * Freezes the worker that prepares the output folder. It resumes during the run, which another worker has prepared.
   */
  async freezeDuringPreparation() {
    const { workers, steps } = this.#context;
    for (const startedAt = performance.now(); performance.now() - startedAt < takeoverTimeout;) {
      const preparing = (await steps.getActive()).find(({ name }) => name === 'prepare');
      const victim = workers.find((worker) => isHeldBy(preparing, worker));
      if (victim) return this.#freeze(victim, 'worker frozen during the preparation');
    }
    throw new Error('No worker started to prepare the run.');
  }

  /** Pauses the run for a while, and measures the rate of Redis commands meanwhile. */
  async pause() {
    const { run, commands, seconds } = this.#context;
    await this.#mustGoOn('pause', () => run.pause(), 'paused');
    // Steps that have started finish within this time.
    await sleep(3000);
    const [before, startedAt] = [await commands(), performance.now()];
    await sleep(seconds * 1000);
    const perSecond = ((await commands()) - before) / ((performance.now() - startedAt) / 1000);
    await this.#mustGoOn('resume', () => run.resume(), 'running');
    const what = `run paused for ${seconds} s: ${perSecond.toFixed(0)} Redis commands a second`;
    return { what, recovered: Promise.resolve([]) };
  }

  /** Fills the disk for a while. */
  async fillDisk() {
    const { fillDisk, seconds, run } = this.#context;
    const empty = await fillDisk();
    await sleep(seconds * 1000);
    const { state, notice, error } = await run.status();
    empty();
    if (state !== 'running') throw new Error(`The full disk has ended the run: ${state}. ${error?.message ?? ''}`);
    return { what: `disk filled for ${seconds} s; the run said: ${notice}`, recovered: Promise.resolve([]) };
  }

  /**
   * Checks that submitting the same request returns the same run, and that another request for the same output is
   * refused.
   */
  async submitAgain() {
    const { run, again } = this.#context;
    const same = await again({});
    if (same.id !== run.id) throw new Error(`The same request started a second run, ${same.id}.`);
    const refused = await again({ chunkRows: 17 }).catch((error) => error);
    if (refused.code !== 'invalid-output')
      throw new Error(`A second run with the same output folder was accepted: ${refused.id}.`);
    return { what: 'submitted twice', recovered: Promise.resolve([]) };
  }

  async #mustGoOn(what, change, state) {
    await change();
    const now = (await this.#context.run.status()).state;
    if (hasEnded(now)) throw new Error(`The run was ${now} before its ${what}: use more rows.`);
    if (now !== state) throw new Error(`After the ${what} the run is ${now}, not ${state}.`);
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
   * Kills Redis with SIGKILL and restarts it from its append-only file. Waits for earlier faults to recover first,
   * because their recovery times are measured separately.
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

  /** Picks a random worker that is executing a step: stopping an idle worker tests little. */
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

  /**
   * Waits until other workers have taken over or finished each step of a stopped worker. Returns the times in
   * milliseconds.
   */
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

/** Whether a worker process executes a job. The worker id in the job contains the process id. */
function isHeldBy(job, { pid }) {
  return job?.processedBy?.includes(`-${pid}-`) ?? false;
}
