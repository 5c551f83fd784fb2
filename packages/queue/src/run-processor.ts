import { setTimeout as sleep } from 'node:timers/promises';
import { SentvecError } from '@sentvec/core';
import { checkSchema, hasEnded, runStages, toRunError } from '@sentvec/workflow';
import { UnrecoverableError, WaitingError, type Job } from 'bullmq';
import { Coordinator } from './coordinator.ts';
import { jobSchemas, type RunJob } from './jobs.ts';
import { queueNames } from './names.ts';
import { asRefusal, checkJobSize } from './refusals.ts';
import type { WatchedRun } from './run-monitor.ts';
import type { StoredRun } from './run-store.ts';
import type { StageCheckpoint } from './wave-stage.ts';
import { Interruption, WorkInProgress } from './work-in-progress.ts';
import { refuse, workflowOf, type WorkerParts } from './worker-parts.ts';

/** Coordinates the runs that a worker was given. */
export class RunProcessor {
  readonly work: WorkInProgress = new WorkInProgress();
  readonly #parts: WorkerParts;
  readonly #coordinators = new Map<string, Coordinator>();

  constructor(parts: WorkerParts) {
    this.#parts = parts;
  }

  /** Tells the coordinator, when it is here, that one of its waves has ended. */
  wake(waveJobId: string): void {
    this.#coordinators.get(waveJobId.slice(0, waveJobId.indexOf('.')))?.wake();
  }

  readonly process = async (job: Job, token?: string): Promise<void> => {
    const data = await this.#check(job);
    const watched = await this.#parts.monitor.watch(data.run, data.round);
    if (!watched) return;
    try {
      await this.work.do(job.id ?? '', watched.signal, (signal) => this.#coordinate(watched, signal));
    } catch (error) {
      if (!(error instanceof Interruption) || error.reason !== 'stopping') throw error;
      await job.moveToWait(token);
      throw new WaitingError();
    } finally {
      watched.release();
    }
  };

  async #check(job: Job): Promise<RunJob> {
    try {
      checkJobSize(job.data);
      return await checkSchema(jobSchemas.run, job.data, 'The job');
    } catch (error) {
      await refuse(this.#parts, queueNames.runs, job.id ?? '', asRefusal(error));
      await job.updateData({ refused: true });
      throw new UnrecoverableError('refused');
    }
  }

  async #coordinate(watched: WatchedRun, signal: AbortSignal): Promise<void> {
    const { store, queue, logger, window } = this.#parts;
    const stored = await store.read(watched.id);
    if (!stored) return;
    const { priority, status } = stored;
    const { stage, items, total } = status;
    const progress = { ...(stage && { stage }), ...(items && { items }), total };
    const coordinator = new Coordinator({ store, queue, watched, signal, logger, priority, progress, window });
    this.#coordinators.set(watched.id, coordinator);
    try {
      if (!signal.aborted) await this.#run(stored, coordinator, watched);
    } catch (error) {
      // The run's own failures are SentvecErrors. Anything else is Redis: the job is tried again.
      if (signal.aborted && !watched.signal.aborted) throw signal.reason;
      if (!watched.signal.aborted) await this.#fail(coordinator, watched, error);
    } finally {
      if (this.#coordinators.get(watched.id) === coordinator) this.#coordinators.delete(watched.id);
    }
    const after = await store.readState(watched.id);
    if (!after || hasEnded(after.state) || after.round !== watched.round) await this.#cleanUp(watched);
  }

  async #run({ status, input }: StoredRun, coordinator: Coordinator, { id, round }: WatchedRun): Promise<void> {
    const { store, logger } = this.#parts;
    await store.own(id, coordinator.owner);
    const { owner } = coordinator;
    await store.transition(id, {
      from: ['queued'],
      to: 'running',
      round,
      owner,
      fields: { startedAt: String(Date.now()) },
    });
    logger.info({ run: id, round, workflow: status.workflow }, 'coordinating a run');
    const output = await runStages(workflowOf(this.#parts, status.workflow), input, coordinator);
    const fields = { output: JSON.stringify(output ?? null) };
    const reply = await store.transition(id, { from: ['running', 'paused'], to: 'completed', round, owner, fields });
    logger.info({ run: id, round, reply }, 'a run has ended');
  }

  async #fail({ owner }: Coordinator, { id, round }: WatchedRun, error: unknown): Promise<void> {
    if (!SentvecError.is(error)) throw error;
    const { store, logger } = this.#parts;
    if (error.code === 'job-refused') await refuse(this.#parts, queueNames.runs, id, error);
    const plain = toRunError(error, id);
    logger.error({ run: id, round, error: plain }, 'a run has failed');
    await store.transition(id, { from: ['queued', 'running', 'paused'], to: 'failed', round, owner, error: plain });
  }

  /** Takes what is left of a round out of the queue. Items that workers hold end by themselves within a moment. */
  async #cleanUp({ id: run, round }: WatchedRun): Promise<void> {
    const { store, queue } = this.#parts;
    for (let attempt = 0; attempt < 10; attempt += 1) {
      const checkpoints = await store.checkpoints(run);
      const removed = await Promise.all(
        Object.entries(checkpoints).flatMap(([stage, json]) =>
          (JSON.parse(json) as StageCheckpoint).waves.map((wave) => queue.remove({ run, round, stage }, wave)),
        ),
      );
      if (removed.every(Boolean)) return;
      await sleep(500);
    }
  }
}
