// The training loop: sampled batches, learning rate schedule, evaluation, checkpoints, and recovery from errors.
import { SentvecError, throwIfAborted } from '@sentvec/core';
import { checkOptionNames, warn, type OptionNames } from '@sentvec/platform';
import type { TrainingBatch } from './data/batch.ts';
import { planSteps, type PlannedBatch, type PlannedStep } from './data/plan.ts';
import { TokenizedSets } from './data/tokenized-sets.ts';
import { checkTrainingSet } from './data/training-set.ts';
import { embedWith, scoreWith } from './embed-texts.ts';
import type { StepResult } from './engine.ts';
import { horizon, StepWatch, type Divergence } from './step-watch.ts';
import {
  learningRateAt,
  resolveTrainingOptions,
  trainingOptionNames,
  type ResolvedOptions,
} from './training-options.ts';
import type {
  HistoryEvaluation,
  HistoryStep,
  TrainingCheckpoint,
  TrainingOutcome,
  TrainingRequest,
} from './training-request.ts';

/**
 * Trains a model on an engine, with sampling, a learning rate schedule, evaluation, selection of the best weights, and
 * checkpoints. The same request on the same machine with the same number of threads gives bit-identical weights,
 * whether the run was resumed or not.
 *
 * If a run ends by an error or an abort, `onCheckpoint` first gets its last good weights: those of its last step or, if
 * the training diverged, those before the divergence. `checkpointStep` in the error's details is the step of the last
 * written checkpoint.
 * @throws SentvecError `invalid-corpus`; `invalid-argument`; `training-failed` with step and rows in `details`;
 * `aborted`; errors of `onCheckpoint` and `evaluate`
 */
export async function train(request: TrainingRequest): Promise<TrainingOutcome> {
  checkOptionNames('train()', request, requestNames);
  checkOptionNames('train()', request.options ?? {}, trainingOptionNames);
  const options = resolveTrainingOptions(request.options, request.evaluate !== undefined);
  for (const set of request.sets) checkTrainingSet(set, options.batchSize);
  const { steps, usedExamples } = planSteps(request.sets, options);
  if (steps.length === 0)
    throw new SentvecError(
      'invalid-corpus',
      'There is nothing to train on: no batch has enough examples. Add examples, or use another sampler.',
    );
  return await new TrainingRun(request, options, steps).run(usedExamples);
}

const requestNames: OptionNames<TrainingRequest> = {
  engine: true,
  reader: true,
  sets: true,
  options: true,
  evaluate: true,
  resumeFrom: true,
  finish: true,
  signal: true,
  onProgress: true,
  onEvaluation: true,
  onCheckpoint: true,
  onWarning: true,
};

/** A checkpoint without its history. The history is that of the run up to its step. */
type Snapshot = Omit<TrainingCheckpoint, 'history'>;

class TrainingRun {
  readonly #request: TrainingRequest;
  readonly #options: ResolvedOptions;
  readonly #steps: readonly PlannedStep[];
  readonly #history: { steps: HistoryStep[]; evaluations: HistoryEvaluation[] } = { steps: [], evaluations: [] };
  readonly #watch = new StepWatch();
  /** Keys of warnings that were given, so that each is given once. */
  readonly #warnings = new Set<string>();
  #best: TrainingCheckpoint['best'];
  /** Number of steps that the engine has completed. */
  #done = 0;
  /** The last snapshot that is known to be good. The run returns to it if it diverges. */
  #good: Snapshot | undefined;
  /** A snapshot whose weights are not checked yet. It becomes `#good` if the next step has a good loss. */
  #candidate: Snapshot | undefined;
  /** The step of the last written checkpoint. */
  #checkpointStep: number | undefined;

  constructor(request: TrainingRequest, options: ResolvedOptions, steps: readonly PlannedStep[]) {
    this.#request = request;
    this.#options = options;
    this.#steps = steps;
  }

  async run(usedExamples: readonly number[]): Promise<TrainingOutcome> {
    const { resumeFrom, finish } = this.#request;
    if (resumeFrom) await this.#restore(resumeFrom);
    try {
      if (!finish) await this.#train(usedExamples);
      return await this.#end(usedExamples);
    } catch (error) {
      throw await this.#withCheckpointStep(error);
    }
  }

  async #train(usedExamples: readonly number[]): Promise<void> {
    const { sets, reader, signal, resumeFrom } = this.#request;
    const tokenized = await TokenizedSets.read(sets, reader, signal);
    this.#warnOfUnused(usedExamples);
    if (!resumeFrom) await this.#evaluate();
    if (this.#keepsGood) this.#good ??= await this.#snapshot();
    while (this.#done < this.#steps.length && !this.#outOfPatience()) {
      throwIfAborted(signal);
      await this.#step(this.#steps[this.#done]!, tokenized);
      if (this.#isTimeToEvaluate()) await this.#evaluate();
      const { checkpointEvery } = this.#options;
      if (checkpointEvery !== undefined && this.#done % checkpointEvery === 0) await this.#keep(await this.#snapshot());
    }
  }

  async #step({ batches, epoch }: PlannedStep, tokenized: TokenizedSets): Promise<void> {
    const { engine, onProgress } = this.#request;
    const { learningRate: peak, schedule, warmup, seed } = this.#options;
    const totalSteps = this.#steps.length;
    const warmupSteps = Math.round(warmup * totalSteps);
    const learningRate = learningRateAt({ kind: schedule, peak, totalSteps, warmupSteps }, this.#done);
    const ofStep = seed + this.#done;
    const prepared: TrainingBatch[] = [];
    for (const [index, batch] of batches.entries()) prepared.push(await tokenized.batch(batch, ofStep + 7919 * index));
    const objective = batches[0]!.set;
    const result = await engine.step({ batches: prepared, objective, learningRate, seed: ofStep });
    this.#checkFinite(result, batches);
    this.#done++;
    const entry = { step: this.#done, learningRate, ...result };
    this.#history.steps.push(entry);
    if (this.#options.watchDivergence) await this.#watchFor(result, batches);
    onProgress?.({ ...entry, totalSteps, epoch, examples: batches.reduce((sum, { rows }) => sum + rows.length, 0) });
  }

  /** Throws if a number is not finite. The engine has not changed the weights then. */
  #checkFinite({ loss, gradientNorm }: StepResult, batches: readonly PlannedBatch[]): void {
    const step = this.#done + 1;
    const remedy = `${this.#startLower}, or check these rows.`;
    if (!Number.isFinite(loss)) throw this.#stepError(`The loss is ${loss}`, step, batches, remedy);
    if (!Number.isFinite(gradientNorm))
      throw this.#stepError(`The norm of the gradients is ${gradientNorm}`, step, batches, remedy);
  }

  /** Detects divergence, and takes snapshots while there is none. */
  async #watchFor({ loss, gradientNorm }: StepResult, batches: readonly PlannedBatch[]): Promise<void> {
    const { set } = batches[0]!;
    const divergence = this.#watch.observe(set, loss, gradientNorm);
    if (divergence === 'exploded') {
      const remedy = `${this.#startLower}, or continue with watchDivergence: false.`;
      throw this.#stepError('The loss diverges and the gradients explode', this.#done, batches, remedy);
    }
    if (divergence !== undefined) {
      const where = this.#describe(this.#done, batches);
      const key = `${divergence} ${this.#request.sets[set]!.name}`;
      this.#warn(key, `${warnings[divergence]} ${where}. ${this.#startLower} if this continues.`);
    }
    if (!this.#keepsGood) return;
    const { isAtItsBest } = this.#watch;
    if (isAtItsBest && this.#candidate) this.#good = this.#candidate;
    this.#candidate = undefined;
    if (isAtItsBest && this.#done - (this.#good?.step ?? 0) >= horizon) this.#candidate = await this.#snapshot();
  }

  /** Whether to take snapshots of good states. */
  get #keepsGood(): boolean {
    return this.#options.watchDivergence && this.#request.onCheckpoint !== undefined;
  }

  /** The remedy for divergence. It needs a new run, because a resumed run must have the same learning rate. */
  get #startLower(): string {
    return `Start a new run with a learning rate lower than ${this.#options.learningRate}`;
  }

  #stepError(what: string, step: number, batches: readonly PlannedBatch[], remedy: string): SentvecError {
    const file = this.#request.sets[batches[0]!.set]!.name;
    const rows = batches.flatMap((batch) => [...batch.rows]);
    const message = `${what} ${this.#describe(step, batches)}. ${remedy}`;
    return new SentvecError('training-failed', message, { file, step, rows });
  }

  #describe(step: number, batches: readonly PlannedBatch[]): string {
    const { name } = this.#request.sets[batches[0]!.set]!;
    const rows = batches.flatMap((batch) => [...batch.rows]);
    return `at step ${step}, rows ${rows.slice(0, 8).join(', ')}${rows.length > 8 ? ', …' : ''} of ${name}`;
  }

  #warnOfUnused(usedExamples: readonly number[]): void {
    for (const [index, { name, examples }] of this.#request.sets.entries()) {
      const [used, all] = [usedExamples[index]!, examples.columns[0]!.length];
      if (used === all) continue;
      this.#warn(`unused ${index}`, `An epoch uses ${used} of the ${all} examples of ${name}. ${this.#whyUnused}`);
    }
  }

  get #whyUnused(): string {
    const why = 'The others fit into no batch: their texts repeat too often, or they are alone in their class';
    return this.#request.sets.length > 1 && this.#options.mixing === 'round-robin'
      ? `${why}; or another set has no more batches, which ends the epoch with round-robin mixing.`
      : `${why}.`;
  }

  #warn(key: string, message: string): void {
    if (this.#warnings.has(key)) return;
    this.#warnings.add(key);
    (this.#request.onWarning ?? warn)(message);
  }

  #isTimeToEvaluate(): boolean {
    const { evaluateEvery } = this.#options;
    if (this.#done === this.#steps.length) return true;
    return evaluateEvery === 'epoch' ? this.#steps[this.#done - 1]!.lastOfEpoch : this.#done % evaluateEvery === 0;
  }

  async #evaluate(): Promise<void> {
    const { evaluate, engine, reader, signal, onEvaluation } = this.#request;
    if (evaluate === undefined) return;
    const evaluation = {
      step: this.#done,
      ...(await evaluate(embedWith(engine, reader, signal), scoreWith(engine, reader, signal))),
    };
    // If all vectors are equal, the score can be NaN. NaN is never the best score.
    const best = this.#history.evaluations.reduce((most, { score }) => (score > most ? score : most), -Infinity);
    this.#history.evaluations.push(evaluation);
    if (evaluation.score > best) {
      const state = await engine.state();
      this.#best = { step: this.#done, weights: state.weights };
      if (this.#keepsGood) this.#good = { step: this.#done, state, best: this.#best };
      this.#candidate = undefined;
    }
    onEvaluation?.(evaluation);
  }

  #outOfPatience(): boolean {
    const { patience } = this.#options;
    const best = this.#best?.step;
    if (patience === undefined || best === undefined) return false;
    return this.#history.evaluations.filter(({ step }) => step > best).length >= patience;
  }

  async #snapshot(): Promise<Snapshot> {
    return { step: this.#done, state: await this.#request.engine.state(), best: this.#best };
  }

  /** A snapshot of the current state or, if the engine has crashed, the last good snapshot. */
  async #lastSnapshot(): Promise<Snapshot | undefined> {
    try {
      return await this.#snapshot();
    } catch {
      return this.#good;
    }
  }

  #checkpoint(snapshot: Snapshot): TrainingCheckpoint {
    const steps = this.#history.steps.slice(0, snapshot.step);
    const evaluations = this.#history.evaluations.filter(({ step }) => step <= snapshot.step);
    return { ...snapshot, history: { steps, evaluations } };
  }

  async #keep(snapshot: Snapshot): Promise<void> {
    const { onCheckpoint } = this.#request;
    if (onCheckpoint === undefined) return;
    await onCheckpoint(this.#checkpoint(snapshot));
    this.#checkpointStep = snapshot.step;
  }

  /**
   * Writes a last checkpoint, and adds its step to the error. The checkpoint has the current state. If the engine has
   * crashed or the training diverged, it has the last good state instead, and replaces any later checkpoint.
   */
  async #withCheckpointStep(error: unknown): Promise<unknown> {
    try {
      const hasDiverged = this.#watch.runsAway && SentvecError.is(error, 'training-failed');
      const last = hasDiverged ? this.#good : await this.#lastSnapshot();
      const isMissing = hasDiverged
        ? last?.step !== this.#checkpointStep
        : last && last.step > (this.#checkpointStep ?? 0);
      if (last && isMissing) await this.#keep(last);
    } catch {
      // Ignored: the caller should get the error that ended the run.
    }
    if (!SentvecError.is(error) || this.#checkpointStep === undefined) return error;
    return new SentvecError(
      error.code,
      error.message,
      { ...error.details, checkpointStep: this.#checkpointStep },
      { cause: error },
    );
  }

  async #restore({ step, history, state, best }: TrainingCheckpoint): Promise<void> {
    if (step > this.#steps.length) {
      throw new SentvecError(
        'invalid-argument',
        `The checkpoint is of step ${step}, but this run has only ${this.#steps.length} steps. The checkpoint belongs to other data or options.`,
      );
    }
    await this.#request.engine.restore(state);
    this.#done = step;
    this.#checkpointStep = step;
    for (const entry of history.steps) this.#history.steps.push(entry);
    for (const evaluation of history.evaluations) this.#history.evaluations.push(evaluation);
    this.#best = best;
    if (this.#keepsGood) this.#good = { step, state, best };
    if (!this.#options.watchDivergence) return;
    for (const [index, { loss, gradientNorm }] of history.steps.entries())
      this.#watch.observe(this.#steps[index]!.batches[0]!.set, loss, gradientNorm);
  }

  async #end(usedExamples: readonly number[]): Promise<TrainingOutcome> {
    const { engine } = this.#request;
    const checkpoint = this.#checkpoint(await this.#snapshot());
    const bestStep = this.#best?.step ?? this.#done;
    if (this.#best && bestStep !== this.#done)
      await engine.restore({ ...checkpoint.state, weights: this.#best.weights });
    const stoppedEarly = this.#done < this.#steps.length;
    return { history: this.#history, steps: this.#done, bestStep, stoppedEarly, usedExamples, checkpoint };
  }
}

const warnings: Readonly<Record<Exclude<Divergence, 'exploded'>, string>> = {
  runaway: 'The loss diverges: it is more than three times its minimum,',
  collapse:
    'The model may have collapsed: the gradients have vanished, but the loss is no better than at the beginning,',
};
