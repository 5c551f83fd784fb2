import { SentvecError } from '@sentvec/core';
import {
  attemptStep,
  checkSchema,
  createAttempt,
  runItem,
  stageAt,
  toRunError,
  type AnyStep,
  type AnyWorkflow,
  type LocalScope,
} from '@sentvec/workflow';
import { setTimeout as sleep } from 'node:timers/promises';
import { UnrecoverableError, WaitingError, type Job } from 'bullmq';
import { ActiveJobs, Interruption } from './active-jobs.ts';
import type { StageCheckpoint } from './batch-stage.ts';
import { jobSchemas, type StepJob } from './jobs.ts';
import { queueNames } from './names.ts';
import { checkJobSize, jobRefusedError } from './refused-jobs.ts';
import type { RunAttempt } from './run-watcher.ts';
import { StepEventPublisher } from './step-event-publisher.ts';
import { refuseJob, workflowOf, type StepReport, type WorkerParts } from './worker-parts.ts';

/** The most milliseconds between two attempts to begin under the rate limit. */
const maxRateWait = 1000;

/** Milliseconds for which a failed step keeps its lock while the failure is written. */
const lockExtension = 5000;

/** What a job asks for, once everything in it is checked. */
interface StepWork {
  readonly data: StepJob;
  readonly workflow: string;
  readonly body: AnyStep | AnyWorkflow;
  readonly key: string;
  /** Which attempt at this step it is, from 1. */
  readonly stepAttempt: number;
  readonly maxAttempts: number;
}

/** Executes the steps whose jobs this worker has taken. */
export class StepProcessor {
  readonly active: ActiveJobs = new ActiveJobs();
  readonly #parts: WorkerParts;

  constructor(parts: WorkerParts) {
    this.#parts = parts;
  }

  readonly process = async (job: Job, token?: string): Promise<unknown> => {
    const data = await this.#check(job);
    const run = await this.#parts.watcher.watch(data.run, data.attempt);
    try {
      if (!run) return await this.#refuse(job, new SentvecError('job-refused', `There is no run ${data.run}.`));
      // Added by a coordinator or an attempt that has been replaced: nobody waits for the result.
      if (run.signal.aborted || (await this.#isFolded(data))) return null;
      const work = await this.#resolve(job, data, run);
      if (!(await this.#mayBegin(job, run, token))) return await this.#parts.parked.park(job, token, data.run);
      return await this.#execute(work, job, run, token);
    } finally {
      run?.release();
    }
  };

  /** Waits for the rate limit. `false` when the run is paused. */
  async #mayBegin(job: Job, run: RunAttempt, token: string | undefined): Promise<boolean> {
    try {
      return await this.active.run(job.id ?? '', run.signal, async (signal) => {
        while (!run.paused) {
          const wait = await this.#parts.rateLimit.tryBegin();
          if (wait === 0) return true;
          await sleep(Math.min(wait, maxRateWait), undefined, { signal });
        }
        return false;
      });
    } catch (error) {
      if (error instanceof Interruption) return giveBack(job, token, error);
      if (run.signal.aborted) throw new UnrecoverableError('The attempt of the run is over.');
      throw error;
    }
  }

  async #check(job: Job): Promise<StepJob> {
    try {
      checkJobSize(job.data);
      return await checkSchema(jobSchemas.step, job.data, 'The job');
    } catch (error) {
      return this.#refuse(job, jobRefusedError(error));
    }
  }

  async #resolve(job: Job, data: StepJob, { workflow }: RunAttempt): Promise<StepWork> {
    try {
      const stage = stageAt(workflowOf(this.#parts, workflow), data.stage);
      const body = stage.kind === 'step' ? stage.step : stage.body;
      const key = `${data.run}/${data.stage}${stage.kind === 'step' ? '' : `#${data.index}`}`;
      return { data, workflow, body, key, stepAttempt: job.attemptsMade + 1, maxAttempts: job.opts.attempts ?? 1 };
    } catch (error) {
      await this.#parts.store.recordFailure(data.run, data.attempt, toRunError(error, data.stage));
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

  async #execute(work: StepWork, job: Job, run: RunAttempt, token: string | undefined): Promise<unknown> {
    const begun = performance.now();
    const { observer } = this.#parts;
    const { key, workflow, data } = work;
    observer.stepBegan?.({ key, stage: data.stage });
    const report = (outcome: StepReport['outcome'], more: Pick<StepReport, 'result' | 'error'> = {}) => {
      const milliseconds = performance.now() - begun;
      observer.stepEnded?.({ key, workflow, stage: data.stage, milliseconds, outcome, ...more });
    };
    try {
      const result = await this.active.run(job.id ?? '', run.signal, (signal) => this.#attempt(work, signal));
      report('completed', { result });
      return result ?? null;
    } catch (error) {
      if (run.signal.aborted) {
        report('cancelled');
        throw new UnrecoverableError('The attempt of the run is over.');
      }
      if (error instanceof Interruption) {
        report('interrupted');
        return await giveBack(job, token, error);
      }
      // A worker that was frozen may see its step time out before it notices that it lost the lock. Then another
      // worker has the step, and this failure does not count.
      if (!(await holdsLock(job, token))) throw new Interruption('lock lost');
      return await this.#fail(work, error, report);
    }
  }

  async #attempt({ data, body, key, stepAttempt }: StepWork, signal: AbortSignal): Promise<unknown> {
    const { run, attempt } = data;
    const { logger, store } = this.#parts;
    const events = new StepEventPublisher(store, { run, attempt, logger });
    const scope: LocalScope = {
      run,
      runAttempt: attempt,
      signal,
      logger,
      concurrency: 2,
      untilResumed: async () => {},
      emit: events.emit,
    };
    try {
      if (body.kind === 'workflow') return await runItem(body, data.value, key, scope);
      return await attemptStep(body, data.value, createAttempt(key, stepAttempt, scope));
    } finally {
      await events.flush();
    }
  }

  async #fail(
    work: StepWork,
    error: unknown,
    report: (outcome: StepReport['outcome'], more: Pick<StepReport, 'error'>) => void,
  ): Promise<never> {
    const { key, data, stepAttempt, maxAttempts, body } = work;
    const runError = toRunError(error, key);
    const mayRetry = body.kind === 'step' && stepAttempt < maxAttempts && body.retry.when(error);
    report(mayRetry ? 'retried' : 'failed', { error: runError });
    this.#parts.logger.warn({ key, attempt: stepAttempt, mayRetry, error: runError }, 'a step failed');
    if (mayRetry) {
      await this.#parts.store.addEvent(data.run, data.attempt, {
        type: 'retry',
        key,
        attempt: stepAttempt,
        error: runError,
      });
      throw error;
    }
    if (runError.code === 'job-refused') await refuseJob(this.#parts, queueNames.steps, key, jobRefusedError(error));
    await this.#parts.store.recordFailure(data.run, data.attempt, runError);
    throw new UnrecoverableError(runError.message);
  }
}

async function holdsLock(job: Job, token: string | undefined): Promise<boolean> {
  return token === undefined || (await job.extendLock(token, lockExtension)) === 1;
}

/** A worker that stops puts its steps back into the queue. A step whose lock is lost belongs to another worker. */
async function giveBack(job: Job, token: string | undefined, interruption: Interruption): Promise<never> {
  if (interruption.reason !== 'stopping') throw interruption;
  await job.moveToWait(token);
  throw new WaitingError();
}
