import { SentvecError } from '@sentvec/core';
import {
  createAttempt,
  attemptStep,
  checkSchema,
  runItem,
  stageAt,
  toRunError,
  type AnyStep,
  type AnyWorkflow,
  type LocalScope,
} from '@sentvec/workflow';
import { DelayedError, UnrecoverableError, WaitingError, type Job } from 'bullmq';
import { jobSchemas, type StepJob } from './jobs.ts';
import { queueNames } from './names.ts';
import { asRefusal, checkJobSize } from './refusals.ts';
import type { WatchedRun } from './run-monitor.ts';
import { StepTidings } from './step-tidings.ts';
import type { StageCheckpoint } from './wave-stage.ts';
import { Interruption, WorkInProgress } from './work-in-progress.ts';
import { refuse, workflowOf, type StepReport, type WorkerParts } from './worker-parts.ts';

/** Milliseconds after which a step of a paused run looks whether it may begin. */
const pauseDelay = 2000;

/** Milliseconds for which a failed step keeps its job while the failure is written down. */
const lockExtension = 5000;

/** What a job asks for, after everything in it was checked. */
interface StepWork {
  readonly data: StepJob;
  readonly workflow: string;
  readonly body: AnyStep | AnyWorkflow;
  readonly key: string;
  readonly attempt: number;
  readonly attempts: number;
}

/** Executes the steps that a worker was given. */
export class StepProcessor {
  readonly work: WorkInProgress = new WorkInProgress();
  readonly #parts: WorkerParts;

  constructor(parts: WorkerParts) {
    this.#parts = parts;
  }

  readonly process = async (job: Job, token?: string): Promise<unknown> => {
    const data = await this.#check(job);
    const watched = await this.#parts.monitor.watch(data.run, data.round);
    try {
      if (!watched) return await this.#refuse(job, new SentvecError('job-refused', `There is no run ${data.run}.`));
      if (watched.paused) {
        await job.moveToDelayed(Date.now() + pauseDelay, token);
        throw new DelayedError();
      }
      // Left over from a coordinator or a round that was overtaken: nobody waits for its result.
      if (watched.signal.aborted || (await this.#isFolded(data))) return null;
      return await this.#execute(await this.#resolve(job, data, watched), job, watched, token);
    } finally {
      watched?.release();
    }
  };

  async #check(job: Job): Promise<StepJob> {
    try {
      checkJobSize(job.data);
      return await checkSchema(jobSchemas.step, job.data, 'The job');
    } catch (error) {
      return this.#refuse(job, asRefusal(error));
    }
  }

  async #resolve(job: Job, data: StepJob, { workflow }: WatchedRun): Promise<StepWork> {
    try {
      const stage = stageAt(workflowOf(this.#parts, workflow), data.stage);
      const body = stage.kind === 'step' ? stage.step : stage.body;
      const key = `${data.run}/${data.stage}${stage.kind === 'step' ? '' : `#${data.index}`}`;
      return { data, workflow, body, key, attempt: job.attemptsMade + 1, attempts: job.opts.attempts ?? 1 };
    } catch (error) {
      await this.#parts.store.recordFailure(data.run, data.round, toRunError(error, data.stage));
      return this.#refuse(job, asRefusal(error));
    }
  }

  /** Records the refusal and does away with the payload, which may be large or not for other eyes. */
  async #refuse(job: Job, error: SentvecError): Promise<never> {
    await refuse(this.#parts, queueNames.steps, job.id ?? '', error);
    await job.updateData({ refused: true });
    throw new UnrecoverableError(error.message.slice(0, 500));
  }

  async #isFolded({ run, stage, index }: StepJob): Promise<boolean> {
    const checkpoint = await this.#parts.store.checkpoint(run, stage);
    return checkpoint !== null && index < (JSON.parse(checkpoint) as StageCheckpoint).items;
  }

  async #execute(work: StepWork, job: Job, watched: WatchedRun, token: string | undefined): Promise<unknown> {
    const begun = performance.now();
    const { observer } = this.#parts;
    observer.stepBegan?.({ key: work.key, stage: work.data.stage });
    const report = (outcome: StepReport['outcome'], more: Pick<StepReport, 'result' | 'error'> = {}) => {
      const facts = {
        key: work.key,
        workflow: work.workflow,
        stage: work.data.stage,
        milliseconds: performance.now() - begun,
      };
      observer.stepEnded?.({ ...facts, outcome, ...more });
    };
    try {
      const result = await this.work.do(job.id ?? '', watched.signal, (signal) => this.#attempt(work, signal));
      report('completed', { result });
      return result ?? null;
    } catch (error) {
      if (watched.signal.aborted) {
        report('cancelled');
        throw new UnrecoverableError('The run is over.');
      }
      if (error instanceof Interruption) {
        report('interrupted');
        return await giveBack(job, token, error);
      }
      // After a freeze the step may fail of old age before the lost lock is noticed: then it is no longer for this
      // worker to say.
      if (!(await holdsLock(job, token))) throw new Interruption('lock lost');
      return await this.#fail(work, error, report);
    }
  }

  async #attempt({ data, body, key, attempt }: StepWork, signal: AbortSignal): Promise<unknown> {
    const { run, round } = data;
    const { logger, store } = this.#parts;
    const tidings = new StepTidings(store, { run, round, logger });
    const scope: LocalScope = {
      run,
      runAttempt: round,
      signal,
      logger,
      concurrency: 2,
      untilResumed: async () => {},
      emit: tidings.emit,
    };
    try {
      if (body.kind === 'workflow') return await runItem(body, data.value, key, scope);
      return await attemptStep(body, data.value, createAttempt(key, attempt, scope));
    } finally {
      await tidings.arrived();
    }
  }

  async #fail(
    work: StepWork,
    error: unknown,
    report: (outcome: StepReport['outcome'], more: Pick<StepReport, 'error'>) => void,
  ): Promise<never> {
    const { key, data, attempt, attempts, body } = work;
    const plain = toRunError(error, key);
    const mayRetry = body.kind === 'step' && attempt < attempts && body.retry.when(error);
    report(mayRetry ? 'retried' : 'failed', { error: plain });
    this.#parts.logger.warn({ key, attempt, mayRetry, error: plain }, 'a step failed');
    if (mayRetry) {
      await this.#parts.store.addEvent(data.run, { type: 'retry', key, attempt, error: plain });
      throw error;
    }
    if (plain.code === 'job-refused') await refuse(this.#parts, queueNames.steps, key, asRefusal(error));
    await this.#parts.store.recordFailure(data.run, data.round, plain);
    throw new UnrecoverableError(plain.message);
  }
}

async function holdsLock(job: Job, token: string | undefined): Promise<boolean> {
  return token === undefined || (await job.extendLock(token, lockExtension)) === 1;
}

/** A stopping worker puts its work back; work whose lock is lost is somebody else's by now. */
async function giveBack(job: Job, token: string | undefined, interruption: Interruption): Promise<never> {
  if (interruption.reason !== 'stopping') throw interruption;
  await job.moveToWait(token);
  throw new WaitingError();
}
