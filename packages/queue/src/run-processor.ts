import { setTimeout as sleep } from 'node:timers/promises';
import { SentvecError } from '@sentvec/core';
import { checkSchema, hasEnded, runStages, toRunError } from '@sentvec/workflow';
import { UnrecoverableError, WaitingError, type Job } from 'bullmq';
import { ActiveJobs, Interruption } from './active-jobs.ts';
import type { StageCheckpoint } from './batch-stage.ts';
import { Coordinator } from './coordinator.ts';
import { jobSchemas, runOfJob, type RunJob } from './jobs.ts';
import { queueNames } from './names.ts';
import { checkJobSize, jobRefusedError } from './refused-jobs.ts';
import type { StoredRun } from './run-store.ts';
import type { RunAttempt } from './run-watcher.ts';
import { refuseJob, workflowOf, type WorkerParts } from './worker-parts.ts';

/** Coordinates the runs whose jobs this worker has taken. */
export class RunProcessor {
  readonly active: ActiveJobs = new ActiveJobs();
  readonly #parts: WorkerParts;
  readonly #coordinators = new Map<string, Coordinator>();

  constructor(parts: WorkerParts) {
    this.#parts = parts;
  }

  /** Wakes the coordinator of the run that a batch belongs to, when it is in this process. */
  wake(batchJobId: string): void {
    this.#coordinators.get(runOfJob(batchJobId))?.wake();
  }

  readonly process = async (job: Job, token?: string): Promise<void> => {
    const data = await this.#check(job);
    const run = await this.#parts.watcher.watch(data.run, data.attempt);
    if (!run) return;
    try {
      await this.active.run(job.id ?? '', run.signal, (signal) => this.#coordinate(run, signal));
    } catch (error) {
      if (!(error instanceof Interruption) || error.reason !== 'stopping') throw error;
      await job.moveToWait(token);
      throw new WaitingError();
    } finally {
      run.release();
    }
  };

  async #check(job: Job): Promise<RunJob> {
    try {
      checkJobSize(job.data);
      return await checkSchema(jobSchemas.run, job.data, 'The job');
    } catch (error) {
      await refuseJob(this.#parts, queueNames.runs, job.id ?? '', jobRefusedError(error));
      await job.updateData({ refused: true });
      throw new UnrecoverableError('refused');
    }
  }

  async #coordinate(run: RunAttempt, signal: AbortSignal): Promise<void> {
    const { store, queue, parked, logger, window } = this.#parts;
    const stored = await store.read(run.id);
    if (!stored) return;
    const { priority, status } = stored;
    const { stage, items, total } = status;
    const progress = { ...(stage && { stage }), ...(items && { items }), total };
    const coordinator = new Coordinator({ store, queue, parked, run, signal, logger, priority, progress, window });
    this.#coordinators.set(run.id, coordinator);
    try {
      if (!signal.aborted) await this.#run(stored, coordinator, run);
    } catch (error) {
      // The run's own failures are SentvecErrors. Anything else is Redis: the job is tried again.
      if (signal.aborted && !run.signal.aborted) throw signal.reason;
      if (!run.signal.aborted) await this.#fail(coordinator, run, error);
    } finally {
      if (this.#coordinators.get(run.id) === coordinator) this.#coordinators.delete(run.id);
    }
    const after = await store.readPosition(run.id);
    if (!after || hasEnded(after.state) || after.attempt !== run.attempt) await this.#removeBatches(run);
  }

  async #run({ status, input }: StoredRun, coordinator: Coordinator, { id, attempt }: RunAttempt): Promise<void> {
    const { store, logger } = this.#parts;
    const { owner } = coordinator;
    const begun = await store.begin(id, attempt, owner);
    if (begun !== 'ok') {
      logger.info({ run: id, attempt, reason: begun }, 'a run is over before it is coordinated');
      return;
    }
    logger.info({ run: id, attempt, workflow: status.workflow }, 'coordinating a run');
    const output = await runStages(workflowOf(this.#parts, status.workflow), input, coordinator);
    const fields = { output: JSON.stringify(output ?? null) };
    const reply = await store.transition(id, { from: ['running', 'paused'], to: 'completed', attempt, owner, fields });
    logger.info({ run: id, attempt, reply }, 'a run has ended');
  }

  async #fail({ owner }: Coordinator, { id, attempt }: RunAttempt, error: unknown): Promise<void> {
    if (!SentvecError.is(error)) throw error;
    const { store, logger } = this.#parts;
    if (error.code === 'job-refused') await refuseJob(this.#parts, queueNames.runs, id, error);
    const runError = toRunError(error, id);
    logger.error({ run: id, attempt, error: runError }, 'a run has failed');
    await store.transition(id, {
      from: ['queued', 'running', 'paused'],
      to: 'failed',
      attempt,
      owner,
      error: runError,
    });
  }

  /** Removes the batches of an attempt that is over. Steps that workers still hold end within a moment. */
  async #removeBatches({ id: run, attempt }: RunAttempt): Promise<void> {
    const { store, queue } = this.#parts;
    for (let tries = 0; tries < 10; tries += 1) {
      const checkpoints = await store.checkpoints(run);
      const removed = await Promise.all(
        Object.entries(checkpoints).flatMap(([stage, json]) =>
          (JSON.parse(json) as StageCheckpoint).batches.map((batch) => queue.remove({ run, attempt, stage }, batch)),
        ),
      );
      if (removed.every(Boolean)) return;
      await sleep(500);
    }
  }
}
