// Executes the steps whose jobs this worker has taken, and completes, retries, parks or fails each job.
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
import { refuseJob, workflowOf, type StepReport, type WorkerParts } from './worker-parts.ts';
import type { ActiveStep } from './worker-registry.ts';

/** The most milliseconds between two attempts to begin under the rate limit. */
const maxRateWait = 1000;

/** Milliseconds for which a failed step keeps its lock while the failure is written. */
const lockExtension = 5000;

/**
 * In place of a result: the step has not begun, because its run is paused or the circuit breaker of the run is open.
 */
const notBegun = Symbol('not begun');

/** A job that this worker holds, of an attempt that is not over. */
interface HeldJob {
  readonly job: Job;
  readonly token: string | undefined;
  readonly data: StepJob;
  readonly run: RunAttempt;
}

/** What a job asks for, once everything in it is checked. */
interface StepWork extends HeldJob {
  readonly body: AnyStep | AnyWorkflow;
  readonly key: string;
  /** Which attempt at this step it is, from 1. */
  readonly stepAttempt: number;
}

/** Executes steps. Every method that gives `never` settles the job in another way than by a result. */
export class StepProcessor {
  readonly active: ActiveJobs = new ActiveJobs();
  readonly #parts: WorkerParts;
  readonly #declined: DeclinedJobs;
  readonly #holdBack: () => void;
  /** The steps that are executed now, by key: when they began, and their progress. */
  readonly #begun = new Map<string, { readonly at: number; progress: unknown }>();

  /**
   * @param holdBack called when this worker gets a step again that it has declined: it then takes no steps for a while
   */
  constructor(parts: WorkerParts, holdBack: () => void) {
    this.#parts = parts;
    this.#holdBack = holdBack;
    this.#declined = new DeclinedJobs(parts, queueNames.steps);
  }

  /** The steps that are executed now. */
  get activeSteps(): readonly ActiveStep[] {
    return [...this.#begun].map(([key, { progress }]) => ({ key, progress }));
  }

  readonly process = async (job: Job, token?: string): Promise<unknown> => {
    const data = await this.#check(job);
    const run = await this.#parts.watcher.watch(data.run, data.attempt);
    try {
      if (!run) return await this.#refuse(job, new SentvecError('job-refused', `There is no run ${data.run}.`));
      // Added by a coordinator or an attempt that has been replaced: no coordinator waits for the result.
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

  /** Records the refusal and deletes the payload, which may be large or confidential. */
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
    const work = await this.#resolve(held);
    let result: unknown;
    try {
      result = await this.active.run(job.id ?? '', run.signal, async (signal) =>
        (await this.#mayBegin(held, signal)) ? this.#execute(work, signal) : notBegun,
      );
    } catch (error) {
      return this.#settle(work, error);
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
      // The worker has the version of the run, so no coordinator has added this job.
      return this.#refuse(job, jobRefusedError(error));
    }
  }

  /** Waits for the rate limit. `false` when the step must not begin now. */
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

  /** Reports to the observer how an attempt ended, once, if it began. */
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
      // For a `forEach` within the item of a nested workflow.
      concurrency: 2,
      // A pause takes effect before a step begins, in `#mayBegin`.
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

  /** Retries, parks, declines or fails a step that gave no result. */
  async #settle(work: StepWork, error: unknown): Promise<never> {
    const { job, token, run } = work;
    if (run.signal.aborted || error instanceof Interruption) {
      this.#report(work, run.signal.aborted ? 'cancelled' : 'interrupted');
      return this.#interrupted(work, error);
    }
    // A worker that was frozen may see its step time out before it notices that it lost the lock. Then another worker
    // has the step, and this failure does not count.
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

  /** Leaves the step for a further attempt, or fails the run when there is none. */
  async #retry(work: StepWork, error: unknown): Promise<never> {
    const { job, token, data, key, body, stepAttempt } = work;
    const { store, logger, parked } = this.#parts;
    const runError = toRunError(error, key);
    const fault = await store.recordFault(data.run, data.attempt, runError.message);
    const since = data.failed?.since ?? fault.now;
    const failures = { attempts: stepAttempt, milliseconds: fault.now - Math.min(since, fault.since) };
    let delay: number | undefined;
    try {
      // The worker that has the item of a nested workflow retries the steps of that workflow itself.
      if (body.kind === 'step') delay = retryDelay(body.retry, error, failures);
    } catch (failure) {
      this.#report(work, 'failed', { error: runError });
      return this.#fail(data, toRunError(failure, key));
    }
    this.#report(work, delay === undefined ? 'failed' : 'retried', { error: runError });
    logger.warn({ key, attempt: stepAttempt, delay, error: runError }, 'a step failed');
    if (delay === undefined) return this.#fail(data, finalError(runError, failures));
    await store.addEvent(data.run, data.attempt, { type: 'retry', key, attempt: stepAttempt, error: runError });
    await job.updateData({ ...data, failed: { attempts: stepAttempt, since } } satisfies StepJob);
    return parked.park(job, token, data, delay);
  }

  /** Leaves the step to another worker, or fails the run when no worker can do it. */
  async #decline(held: HeldJob, error?: SentvecError): Promise<never> {
    const { job, token, data, run } = held;
    try {
      await this.#declined.decline(job, data, run, error);
    } catch (failure) {
      if (!SentvecError.is(failure)) throw failure;
      // A step that no worker can do does not count against this one.
      this.#parts.stepDone();
      return this.#fail(data, toRunError(failure, `${data.run}/${data.stage}#${data.index}`));
    }
    if (!error) this.#holdBack();
    return this.#parts.parked.park(job, token, data, declineDelay);
  }

  async #fail({ run, attempt }: StepJob, error: RunError): Promise<never> {
    await this.#parts.store.recordFailure(run, attempt, error);
    throw new UnrecoverableError(error.message);
  }

  /** A worker that stops puts its steps back into the queue. A step whose lock is lost belongs to another worker. */
  async #interrupted({ job, token, run }: HeldJob, error: unknown): Promise<never> {
    if (run.signal.aborted) throw new UnrecoverableError('The attempt of the run is over.');
    if (!(error instanceof Interruption) || error.reason !== 'stopping') throw error;
    await job.moveToWait(token);
    throw new WaitingError();
  }
}

async function holdsLock(job: Job, token: string | undefined): Promise<boolean> {
  return token === undefined || (await job.extendLock(token, lockExtension)) === 1;
}
