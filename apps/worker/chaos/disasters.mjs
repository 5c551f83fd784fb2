import { setTimeout as sleep } from 'node:timers/promises';
import { pick } from './random.mjs';

/** Milliseconds that a frozen worker sleeps: longer than its lock lives and the next look for lost jobs takes. */
const freeze = 20_000;
/** Milliseconds after which a job that nobody took over counts as lost. */
const patience = 120_000;

/**
 * What can happen to a fleet. Each gives what it was at once, with a promise of the milliseconds after which every step that
 * was in the victim's hands was in others', or done: meanwhile the next may happen.
 */
export class Disasters {
  #context;
  #frozen = new Set();
  #underway = new Set();

  /** @param context `{ random, redis, steps, workers, replace, position }`; `position` gives `{ done, ended }` of the run */
  constructor(context) {
    this.#context = context;
  }

  /** `kill -9`, and a new worker in its place. */
  async kill() {
    const victim = this.#victim();
    const held = await this.#heldBy(victim);
    victim.kill('SIGKILL');
    const recovered = this.#track(this.#recoveries(held, victim));
    await this.#context.replace(victim);
    return { what: 'worker killed', pid: victim.pid, recovered };
  }

  /** SIGSTOP past the lock, then SIGCONT. */
  async freeze() {
    const victim = this.#victim();
    const held = await this.#heldBy(victim);
    victim.kill('SIGSTOP');
    this.#frozen.add(victim);
    const thaw = async () => {
      await sleep(freeze);
      victim.kill('SIGCONT');
      this.#frozen.delete(victim);
    };
    const recovered = this.#track(Promise.all([this.#recoveries(held, victim), thaw()]).then(([times]) => times));
    return { what: 'worker frozen', pid: victim.pid, recovered };
  }

  /** `kill -9` of Redis; back from its append-only file after a moment. Not while others still recover: that is measured by itself. */
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

  #victim() {
    const { random, workers } = this.#context;
    return pick(
      random,
      workers.filter((worker) => !this.#frozen.has(worker)),
    );
  }

  #track(recovery) {
    this.#underway.add(recovery);
    void recovery.finally(() => this.#underway.delete(recovery)).catch(() => {});
    return recovery;
  }

  /** Steps in the hands of a worker. Its id holds its process id. */
  async #heldBy({ pid }) {
    const active = await this.#context.steps.getActive();
    return active.filter((job) => job?.processedBy?.includes(`-${pid}-`)).map((job) => job.id);
  }

  async #recoveries(ids, { pid }) {
    const begun = performance.now();
    const waiting = new Set(ids);
    const times = [];
    while (waiting.size > 0) {
      for (const id of waiting) {
        const job = await this.#context.steps.getJob(id);
        if (job?.processedBy?.includes(`-${pid}-`)) continue;
        waiting.delete(id);
        times.push(performance.now() - begun);
      }
      if (performance.now() - begun > patience) throw new Error(`Nobody took over ${[...waiting].join(', ')}.`);
      await sleep(100);
    }
    return times;
  }
}
