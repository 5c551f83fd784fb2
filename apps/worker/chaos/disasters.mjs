import { setTimeout as sleep } from 'node:timers/promises';
import { pick } from './random.mjs';

/**
 * Milliseconds that a frozen worker sleeps at least: longer than its lock lives. It is woken when others have its
 * steps.
 */
const freeze = 12_000;
/** Milliseconds after which a job that no worker has taken over counts as lost. */
const takeoverTimeout = 120_000;

/**
 * What can happen to a fleet. Each method says at once what it did, and gives a promise of the milliseconds after which
 * another worker had, or had done, every step of the victim. The next disaster may happen before that.
 */
export class Disasters {
  #context;
  #frozen = new Set();
  #underway = new Set();

  /**
   * @param context `{ random, redis, steps, workers, replace, position }`; `position` gives `{ done, ended }` of the
   * run
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
    const victim = await this.#victim();
    victim.kill('SIGSTOP');
    this.#frozen.add(victim);
    const thaw = async () => {
      const [times] = await Promise.all([this.#recoveries(victim), sleep(freeze)]);
      victim.kill('SIGCONT');
      this.#frozen.delete(victim);
      return times;
    };
    const recovered = this.#track(thaw());
    return { what: 'worker frozen', pid: victim.pid, recovered };
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
    const begun = performance.now();
    for (let now = before; now.done <= before.done && !now.ended; now = await position()) await sleep(100);
    return { what: 'Redis killed', recovered: Promise.resolve([]), progressAfter: performance.now() - begun };
  }

  /** A worker at random, in the middle of a chunk: there is little to see when an idle one dies. */
  async #victim() {
    const { random, workers, steps } = this.#context;
    const begun = performance.now();
    for (;;) {
      const active = await steps.getActive();
      const awake = workers.filter((worker) => !this.#frozen.has(worker));
      const busy = awake.filter((worker) => active.some((job) => isHeldBy(job, worker)));
      if (busy.length > 0) return pick(random, busy);
      if (performance.now() - begun > takeoverTimeout) return pick(random, awake);
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
    const begun = performance.now();
    await stopped;
    const waiting = new Set((await steps.getActive()).filter((job) => isHeldBy(job, victim)).map((job) => job.id));
    const times = [];
    while (waiting.size > 0) {
      for (const id of waiting) {
        if (isHeldBy(await steps.getJob(id), victim)) continue;
        waiting.delete(id);
        times.push(performance.now() - begun);
      }
      if (performance.now() - begun > takeoverTimeout) throw new Error(`Nobody took over ${[...waiting].join(', ')}.`);
      await sleep(100);
    }
    return times;
  }
}

/** Whether a worker has a job: the id of the worker contains that of its process. */
function isHeldBy(job, { pid }) {
  return job?.processedBy?.includes(`-${pid}-`) ?? false;
}
