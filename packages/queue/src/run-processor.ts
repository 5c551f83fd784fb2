// Processes the jobs in the queue of runs: coordinates each run, and then completes it, fails it, or leaves it to
// another worker.
import { setTimeout as sleep } from 'node:timers/promises';
import { SentvecError } from '@sentvec/core';
import {
  checkInput,
  checkSchema,
  dependsOnWorker,
  hasEnded,
  IncompleteError,
  runStages,
  toRunError,
  type AnyWorkflow,
  type NeededModel,
  type RunError,
} from '@sentvec/workflow';
import { UnrecoverableError, WaitingError, type Job } from 'bullmq';
import { ActiveJobs, Interruption } from './active-jobs.ts';
import type { StageCheckpoint } from './batch-stage.ts';
import { Coordinator, FailedStep } from './coordinator.ts';
import { DeclinedJobs } from './declined-jobs.ts';
import { jobSchemas, runOfJob, type RunJob } from './jobs.ts';
import { queueNames } from './names.ts';
import { checkJobSize, jobRefusedError } from './refused-jobs.ts';
import type { StoredRun } from './run-store.ts';
import type { RunAttempt } from './run-watcher.ts';
import { isScheduleJob } from './schedules.ts';
import { chooseModel, servesModel, type PinnedModel } from './served-models.ts';
import { serves } from './worker-registry.ts';
import type { GenericSchema } from 'valibot';
import { changedError, refuseJob, workflowOf, type WorkerParts } from './worker-parts.ts';

/** The error for a run that this worker cannot coordinate. */
class UnfitWorker extends Error {
  readonly error: SentvecError;

  constructor(error: SentvecError) {
    super(error.message);
    this.error = error;
  }
}

/** Interval in milliseconds of reads of the registry while a worker with the model of a run is starting. */
const modelInterval = 500;

/** What a {@link RunProcessor} needs of its worker. */
export interface RunHost {
  /** Called when this worker gets a run again that it has declined: it then takes no runs for a while. */
  readonly holdBack: () => void;
  /** Called before this worker coordinates a run. Resolves when it knows how large the fleet is. */
  readonly coordinates: () => Promise<void>;
}

/** Coordinates the runs whose jobs this worker processes. */
export class RunProcessor {
  readonly active: ActiveJobs = new ActiveJobs();
  readonly #parts: WorkerParts;
  readonly #declined: DeclinedJobs;
  readonly #host: RunHost;
  readonly #coordinators = new Map<string, Coordinator>();

  constructor(parts: WorkerParts, host: RunHost) {
    this.#parts = parts;
    this.#host = host;
    this.#declined = new DeclinedJobs(parts, queueNames.runs);
  }

  /** Wakes the coordinator of a batch's run, if it is in this process. */
  wake(batchJobId: string): void {
    this.#coordinators.get(runOfJob(batchJobId))?.wake();
  }

  readonly process = async (job: Job, token?: string): Promise<void> => {
    if (isScheduleJob(job)) return this.#startScheduled(job);
    const data = await this.#check(job, jobSchemas.run);
    const run = await this.#parts.watcher.watch(data.run, data.attempt);
    if (!run) return;
    try {
      if (this.#declined.has(data)) return await this.#decline(job, token, data, run);
      await this.active.run(job.id ?? '', run.signal, (signal) => this.#coordinate(run, signal));
    } catch (error) {
      if (error instanceof UnfitWorker) return await this.#decline(job, token, data, run, error.error);
      // The run waits among the pending ones, not here: it would take the place of runs that can go on.
      if (error instanceof Interruption && error.reason === 'unserved') return;
      if (!(error instanceof Interruption)) await this.#endIfLast(job, run, error);
      if (!(error instanceof Interruption) || error.reason !== 'stopping') throw error;
      await job.moveToWait(token);
      throw new WaitingError();
    } finally {
      run.release();
    }
  };

  async #startScheduled(job: Job): Promise<void> {
    const { schedule } = await this.#check(job, jobSchemas.schedule);
    const reason = await this.#parts.schedules.start(job);
    if (reason !== undefined) this.#parts.logger.warn({ schedule, reason }, 'a scheduled run is skipped');
  }

  async #check<Data>(job: Job, schema: GenericSchema<unknown, Data>): Promise<Data> {
    try {
      checkJobSize(job.data);
      return await checkSchema(schema, job.data, 'The job');
    } catch (error) {
      await refuseJob(this.#parts, queueNames.runs, job.id ?? '', jobRefusedError(error));
      await job.updateData({ refused: true });
      throw new UnrecoverableError('refused');
    }
  }

  async #coordinate(run: RunAttempt, signal: AbortSignal): Promise<void> {
    const { store, queue, parked, logger, window, isServed, declineTimeout } = this.#parts;
    const stored = await store.read(run.id);
    if (!stored) return;
    await this.#host.coordinates();
    const { priority, status, maxFailed } = stored;
    const { stage, items, total } = status;
    const progress = { ...(stage && { stage }), ...(items && { items }), total };
    const fleet = { window, isServed, unservedTimeout: declineTimeout };
    const parts = { store, queue, parked, run, signal, logger, priority, maxFailed, progress, ...fleet };
    const coordinator = new Coordinator(parts);
    this.#coordinators.set(run.id, coordinator);
    try {
      if (!signal.aborted) await this.#run(stored, coordinator, run, signal);
    } catch (error) {
      if (error instanceof Interruption && error.reason === 'unserved' && run.model) {
        logger.warn({ run: run.id, model: run.model }, 'no worker serves the model of a run: it waits');
        await store.postpone(run.id, run.attempt, run.model);
      }
      if (signal.aborted && !run.signal.aborted) throw signal.reason;
      if (!run.signal.aborted) await this.#fail(run, error);
    } finally {
      if (this.#coordinators.get(run.id) === coordinator) this.#coordinators.delete(run.id);
    }
    const after = await store.readPosition(run.id);
    if (!after || hasEnded(after.state) || after.attempt !== run.attempt) await this.#removeBatches(run);
  }

  async #run({ input }: StoredRun, coordinator: Coordinator, run: RunAttempt, signal: AbortSignal): Promise<void> {
    const { id, attempt } = run;
    const { store, logger } = this.#parts;
    const { owner } = coordinator;
    const workflow = workflowOf(this.#parts, run);
    const version = this.#parts.versions[workflow.id]!;
    const model = await this.#chooseModel(run, workflow, input, signal);
    const begun = await store.begin(id, attempt, { owner, version, model });
    if (begun === 'changed') throw changedError(workflow.id);
    if (begun !== 'ok') {
      logger.info({ run: id, attempt, reason: begun }, 'a run has ended before it could be coordinated');
      return;
    }
    // Another coordinator may have chosen first.
    run.model = (await store.readPosition(id))?.model;
    logger.info({ run: id, attempt, workflow: workflow.id, model: run.model }, 'coordinating a run');
    const output = await runStages(workflow, input, coordinator);
    const fields = { output: JSON.stringify(output ?? null) };
    const reply = await store.transition(id, { from: ['running', 'paused'], to: 'completed', attempt, owner, fields });
    logger.info({ run: id, attempt, reply }, 'a run has ended');
  }

  /**
   * Chooses the model of a run, or returns the model that it has; `undefined` if any worker can execute its steps. Waits
   * while a worker that may have the model is starting.
   *
   * @throws Interruption `unserved` if no worker has the model; the run is then postponed
   */
  async #chooseModel(
    { id, attempt, version: begunWith, model }: RunAttempt,
    workflow: AnyWorkflow,
    input: unknown,
    signal: AbortSignal,
  ): Promise<PinnedModel | undefined> {
    // An attempt that began with steps for any worker goes on so: some may be in that queue.
    if (!workflow.model || (begunWith !== undefined && model === undefined)) return undefined;
    const { registry, store, declineTimeout } = this.#parts;
    const needed: NeededModel | undefined = model ?? workflow.model((await checkInput(workflow, input)) as never);
    if (needed === undefined) return undefined;
    for (;;) {
      const { now, workers } = await registry.read();
      const version = this.#parts.versions[workflow.id];
      const able = workers.filter((worker) => serves(worker, { workflow: workflow.id, version }));
      const chosen = model && able.some((worker) => servesModel(worker, model)) ? model : chooseModel(able, needed);
      if (chosen === 'any') {
        if (model === undefined) return undefined;
      } else if (chosen !== undefined) return chosen;
      const isStarting = able.some(
        ({ startedAt, models = [] }) =>
          now - startedAt < declineTimeout ||
          models.some(({ name, fingerprint, error }) => name === needed.name && !fingerprint && !error),
      );
      await store.postpone(id, attempt, needed);
      if (!isStarting) throw new Interruption('unserved');
      await sleep(modelInterval, undefined, { signal });
    }
  }

  /**
   * Handles the error of a run. SentvecErrors fail the run. All other errors come from Redis, and the job is retried.
   */
  async #fail(run: RunAttempt, error: unknown): Promise<void> {
    if (error instanceof FailedStep) return this.#end(run, error.error);
    if (error instanceof IncompleteError) return this.#end(run, toRunError(error, run.id), 'incomplete');
    if (!SentvecError.is(error)) throw error;
    if (dependsOnWorker(error)) throw new UnfitWorker(error);
    await this.#end(run, toRunError(error, run.id));
  }

  /**
   * Fails the run if its job has no attempts left, because otherwise nobody would coordinate it and it would never end.
   */
  async #endIfLast(job: Job, run: RunAttempt, error: unknown): Promise<void> {
    const isLast = job.attemptsMade + 1 >= (job.opts.attempts ?? 1);
    this.#parts.logger.warn({ run: run.id, attempt: run.attempt, error, isLast }, 'a run could not be coordinated');
    if (isLast) await this.#end(run, toRunError(error, run.id));
  }

  async #end({ id, attempt }: RunAttempt, error: RunError, to: 'failed' | 'incomplete' = 'failed'): Promise<void> {
    this.#parts.logger.error({ run: id, attempt, error }, to === 'failed' ? 'a run has failed' : 'a run is incomplete');
    const change = { from: ['queued', 'running', 'paused'], to, attempt, error } as const;
    await this.#parts.store.transition(id, change);
  }

  /** Leaves the run to another worker, or fails it if no worker can coordinate it. */
  async #decline(
    job: Job,
    token: string | undefined,
    data: RunJob,
    run: RunAttempt,
    error?: SentvecError,
  ): Promise<void> {
    try {
      // Whoever serves the workflow can coordinate, whatever models it has.
      const required = { workflow: run.workflow, version: run.version };
      await this.#declined.decline(job, data, required, error);
    } catch (failure) {
      if (!SentvecError.is(failure)) throw failure;
      await this.#end(run, toRunError(failure, run.id));
      return this.#removeBatches(run);
    }
    // The worker pauses itself. A delay of the job would depend on the clocks of two workers.
    if (!error) this.#host.holdBack();
    await job.moveToWait(token);
    throw new WaitingError();
  }

  /** Removes the batches of an attempt that is over. Steps that are still active end soon. */
  async #removeBatches(over: RunAttempt): Promise<void> {
    const { store, queue, parked } = this.#parts;
    const { id: run, attempt } = over;
    for (let tries = 0; tries < 10; tries += 1) {
      const checkpoints = await store.checkpoints(run);
      const removed = await Promise.all(
        Object.entries(checkpoints).flatMap(([stage, json]) =>
          (JSON.parse(json) as StageCheckpoint).batches.map((batch) => queue.remove({ run, attempt, stage }, batch)),
        ),
      );
      if (removed.every(Boolean)) return parked.clear(over);
      await sleep(500);
    }
  }
}
