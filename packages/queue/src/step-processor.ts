// Processes the jobs in the queue of steps: executes each step, and then completes, retries, parks or fails its job.
import { SentvecError } from '@sentvec/core';
import { sleep } from '@sentvec/platform';
import {
  attemptStep,
  checkSchema,
  createAttempt,
  dependsOnWorker,
  finalError,
  retryDelay,
  runItem,
  stageAt,
  toRunError,
  type AnyStep,
  type AnyWorkflow,
  type LocalScope,
  type RunError,
  type RunEventPayload,
} from '@sentvec/workflow';
import { UnrecoverableError, WaitingError, type Job } from 'bullmq';
import { ActiveJobs, Interruption } from './active-jobs.ts';
import type { StageCheckpoint } from './batch-stage.ts';
import { declineDelay, DeclinedJobs } from './declined-jobs.ts';
import { jobSchemas, type StepJob } from './jobs.ts';
import { queueNames } from './names.ts';
import { checkJobSize, jobRefusedError } from './refused-jobs.ts';
import type { RunAttempt } from './run-watcher.ts';
import { StepEventPublisher } from './step-event-publisher.ts';
import { servesModel } from './served-models.ts';
import { Slots } from './slots.ts';
import { refuseJob, workflowOf, type StepReport, type WorkerParts } from './worker-parts.ts';
import type { ActiveStep } from './worker-registry.ts';

/** Maximum milliseconds between two tries to begin under the rate limit. */
const maxRateWait = 1000;

/** How long a failed step keeps its lock while the failure is written, in milliseconds. */
const lockExtension = 5000;

/**
 * Returned instead of a result if the step has not begun, because its run is paused or the circuit breaker of the run
 * is open.
 */
const notBegun = Symbol('not begun');

/** A job that this worker is processing, of an attempt that is not over. */
interface HeldJob {
  readonly job: Job;
  readonly token: string | undefined;
  readonly data: StepJob;
  readonly run: RunAttempt;
}

/** The validated work of a job. */
interface StepWork extends HeldJob {
  readonly body: AnyStep | AnyWorkflow;
  readonly key: string;
  /** Number of the attempt of this step, from 1. */
  readonly stepAttempt: number;
}

/** Executes steps. Methods that return `never` always throw: they end the job without a result. */
export class StepProcessor {
  readonly active: ActiveJobs = new ActiveJobs();
  readonly #parts: WorkerParts;
  readonly #declined: DeclinedJobs;
  readonly #holdBack: () => void;
  readonly #slots: Slots;
  /** Ids of the jobs that wait for a slot. */
  readonly #waiting = new Set<string>();
  /** The active steps by key, with their start time and progress. */
  readonly #begun = new Map<string, { readonly at: number; progress: unknown }>();

  /**
   * @param holdBack called when this worker gets a step that it has declined before. It must then take no steps for a
   * while
   */
  constructor(parts: WorkerParts, holdBack: () => void) {
    this.#parts = parts;
    this.#holdBack = holdBack;
    this.#slots = new Slots(parts.concurrency);
    this.#declined = new DeclinedJobs(parts, queueNames.steps);
  }

  /** Number of jobs that have a slot. */
  get activeJobs(): number {
    return this.active.size - this.#waiting.size;
  }

  /** Returns the jobs that wait for a slot to their queues. */
  returnWaiting(): void {
    this.active.interrupt('stopping', [...this.#waiting]);
  }

  /** The active steps. */
  get activeSteps(): readonly ActiveStep[] {
    return [...this.#begun].map(([key, { progress }]) => ({ key, progress }));
  }

  readonly process = async (job: Job, token?: string): Promise<unknown> => {
    const data = await this.#check(job);
    const run = await this.#parts.watcher.watch(data.run, data.attempt);
    try {
      if (!run) return await this.#refuse(job, new SentvecError('job-refused', `There is no run ${data.run}.`));
      // An outdated job of a replaced coordinator or attempt. Nobody waits for its result.
      if (run.signal.aborted || (await this.#isFolded(data))) return null;
      return await this.#process({ job, token, data, run });
    } finally {
      run?.release();
    }
  };

  async #check(job: Job): Promise<StepJob> {
    try {
      checkJobSize(job.data);
      return await checkSchema(jobSchemas.step, job.data, 'The job');
    } catch (error) {
      return this.#refuse(job, jobRefusedError(error));
    }
  }

  /** Records the refused job, and deletes its data, which may be large or confidential. */
  async #refuse(job: Job, error: SentvecError): Promise<never> {
    await refuseJob(this.#parts, queueNames.steps, job.id ?? '', error);
    await job.updateData({ refused: true });
    throw new UnrecoverableError(error.message.slice(0, 500));
  }

  async #isFolded({ run, stage, index }: StepJob): Promise<boolean> {
    const checkpoint = await this.#parts.store.checkpoint(run, stage);
    return checkpoint !== null && index < (JSON.parse(checkpoint) as StageCheckpoint).items;
  }

  async #process(held: HeldJob): Promise<unknown> {
    const { job, token, data, run } = held;
    if (this.#declined.has(data)) return this.#decline(held);
    if (!this.#servesModelOf(run)) return this.#giveBack(job, token);
    const work = await this.#resolve(held);
    const id = job.id ?? '';
    let result: unknown;
    try {
      this.#waiting.add(id);
      result = await this.active.run(id, run.signal, (signal) =>
        this.#slots.use(signal, async () => {
          this.#waiting.delete(id);
          return (await this.#mayBegin(held, signal)) ? this.#execute(work, signal) : notBegun;
        }),
      );
    } catch (error) {
      return this.#settle(work, error);
    } finally {
      this.#waiting.delete(id);
    }
    return result === notBegun ? this.#parts.parked.park(job, token, data) : result;
  }

  async #resolve(held: HeldJob): Promise<StepWork> {
    const { job, data, run } = held;
    let workflow: AnyWorkflow;
    try {
      workflow = workflowOf(this.#parts, run);
    } catch (error) {
      return this.#decline(held, jobRefusedError(error));
    }
    try {
      const stage = stageAt(workflow, data.stage);
      const body = stage.kind === 'step' ? stage.step : stage.body;
      const key = `${data.run}/${data.stage}${stage.kind === 'step' ? '' : `#${data.index}`}`;
      return { ...held, body, key, stepAttempt: (data.failed?.attempts ?? 0) + 1 };
    } catch (error) {
      // The worker has the same workflow version as the run, so this job does not come from a coordinator.
      return this.#refuse(job, jobRefusedError(error));
    }
  }

  /** Waits for the rate limit. Returns `false` if the step must not begin now. */
  async #mayBegin({ job, run }: HeldJob, signal: AbortSignal): Promise<boolean> {
    while (run.mayBegin(job.id ?? '')) {
      const wait = await this.#parts.rateLimit.tryBegin();
      if (wait === 0) return true;
      await sleep(Math.min(wait, maxRateWait), signal);
    }
    return false;
  }

  async #execute(work: StepWork, signal: AbortSignal): Promise<unknown> {
    const { data, key } = work;
    this.#begun.set(key, { at: performance.now(), progress: null });
    this.#parts.observer.stepBegan?.({ key, stage: data.stage });
    const result = (await this.#attempt(work, signal)) ?? null;
    this.#report(work, 'completed', { result });
    this.#parts.stepDone();
    await this.#parts.store.clearFaults(data.run, data.attempt);
    return result;
  }

  /** Reports the outcome of an attempt to the observer, once, if the attempt has begun. */
  #report(
    { key, data, run }: StepWork,
    outcome: StepReport['outcome'],
    more: Pick<StepReport, 'result' | 'error'> = {},
  ): void {
    const begun = this.#begun.get(key);
    if (begun === undefined) return;
    this.#begun.delete(key);
    const milliseconds = performance.now() - begun.at;
    const report = { key, workflow: run.workflow, stage: data.stage, milliseconds, outcome, ...more };
    this.#parts.observer.stepEnded?.(report);
  }

  async #attempt({ job, data, body, key, stepAttempt }: StepWork, signal: AbortSignal): Promise<unknown> {
    const { run, attempt } = data;
    const { logger, store } = this.#parts;
    const events = new StepEventPublisher(store, { run, attempt, logger });
    const emit = (payload: RunEventPayload): void => {
      const begun = this.#begun.get(key);
      if (begun && payload.type === 'progress') begun.progress = payload.value;
      events.emit(payload);
    };
    const scope: LocalScope = {
      run,
      runAttempt: attempt,
      losses: job.stalledCounter,
      signal,
      logger,
      // The concurrency of a `forEach` in a nested workflow.
      concurrency: 2,
      // Nothing to wait for: pauses are handled before a step begins, in `#mayBegin`.
      untilResumed: async () => {},
      emit,
    };
    try {
      if (body.kind === 'workflow') return await runItem(body, data.value, key, scope);
      return await attemptStep(body, data.value, createAttempt(key, stepAttempt, scope));
    } finally {
      await events.flush();
    }
  }

  /** Retries, parks, declines or fails a step that has no result. */
  async #settle(work: StepWork, error: unknown): Promise<never> {
    const { job, token, run } = work;
    if (run.signal.aborted || error instanceof Interruption) {
      this.#report(work, run.signal.aborted ? 'cancelled' : 'interrupted');
      return this.#interrupted(work, error);
    }
    // If this worker was frozen, its step may time out before it notices that it lost the lock. Another worker has the
    // step then, so this failure does not count.
    if (!(await holdsLock(job, token))) {
      this.#report(work, 'interrupted');
      throw new Interruption('lock lost');
    }
    if (SentvecError.is(error) && dependsOnWorker(error)) {
      this.#report(work, 'declined', { error: toRunError(error, work.key) });
      return this.#decline(work, error);
    }
    return this.#retry(work, error);
  }

  /** Schedules another attempt of the step, or fails it if there is none left. */
  async #retry(work: StepWork, error: unknown): Promise<never> {
    const { job, token, data, key, body, stepAttempt } = work;
    const { store, logger, parked } = this.#parts;
    const runError = toRunError(error, key);
    const fault = await store.recordFault(data.run, data.attempt, runError.message);
    const since = data.failed?.since ?? fault.now;
    const failures = { attempts: stepAttempt, milliseconds: fault.now - Math.min(since, fault.since) };
    let delay: number | undefined;
    try {
      // For an item that is a nested workflow, the steps of that workflow are retried within the item.
      if (body.kind === 'step') delay = retryDelay(body.retry, error, failures);
    } catch (failure) {
      this.#report(work, 'failed', { error: runError });
      return this.#fail(work, toRunError(failure, key));
    }
    this.#report(work, delay === undefined ? 'failed' : 'retried', { error: runError });
    logger.warn({ key, attempt: stepAttempt, delay, error: runError }, 'a step failed');
    if (delay === undefined) return this.#fail(work, finalError(runError, failures));
    await store.addEvent(data.run, data.attempt, { type: 'retry', key, attempt: stepAttempt, error: runError });
    await job.updateData({ ...data, failed: { attempts: stepAttempt, since } } satisfies StepJob);
    return parked.park(job, token, data, delay);
  }

  /** Leaves the step to another worker, or fails it if no worker can execute it. */
  async #decline(held: HeldJob, error?: SentvecError): Promise<never> {
    const { job, token, data, run } = held;
    try {
      await this.#declined.decline(job, data, run, error);
    } catch (failure) {
      if (!SentvecError.is(failure)) throw failure;
      // If no worker can execute the step, this worker is not to blame.
      this.#parts.stepDone();
      return this.#fail(held, toRunError(failure, `${data.run}/${data.stage}#${data.index}`));
    }
    if (!error) this.#holdBack();
    return this.#parts.parked.park(job, token, data, declineDelay);
  }

  /** The coordinator reads why from the job. */
  async #fail({ job, data }: HeldJob, error: RunError): Promise<never> {
    await job.updateData({ ...data, failure: { error, worker: this.#parts.id } } satisfies StepJob);
    throw new UnrecoverableError(error.message);
  }

  /**
   * Handles an interruption. A stopping worker returns its steps to the queue. A step whose lock was lost belongs to
   * another worker.
   */
  async #interrupted({ job, token, run }: HeldJob, error: unknown): Promise<never> {
    if (run.signal.aborted) throw new UnrecoverableError('The attempt of the run is over.');
    if (!(error instanceof Interruption) || error.reason !== 'stopping') throw error;
    return this.#giveBack(job, token);
  }

  /** Whether this worker has the model of a run: its weights may have been replaced since it took the job. */
  #servesModelOf({ model }: RunAttempt): boolean {
    const models = this.#parts.models();
    return model === undefined || models === undefined || servesModel({ startedAt: 0, models }, model);
  }

  async #giveBack(job: Job, token: string | undefined): Promise<never> {
    await job.moveToWait(token);
    throw new WaitingError();
  }
}

async function holdsLock(job: Job, token: string | undefined): Promise<boolean> {
  return token === undefined || (await job.extendLock(token, lockExtension)) === 1;
}
