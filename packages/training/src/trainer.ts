// A run of training: sampled batches, schedule, evaluation, checkpoints, and weights that survive however the run ends.
import { SentvecError, throwIfAborted } from '@sentvec/core';
import { warn } from '@sentvec/platform';
import { planSteps, type PlannedBatch, type PlannedStep } from './data/plan.ts';
import { TokenizedSets } from './data/tokenized-sets.ts';
import { checkTrainingSet } from './data/training-set.ts';
import { embedWith } from './embed-texts.ts';
import type { StepResult } from './engine.ts';
import { StepWatch, type Divergence } from './step-watch.ts';
import { learningRateAt, resolveTrainingOptions, type ResolvedOptions } from './training-options.ts';
import type {
  HistoryEvaluation,
  HistoryStep,
  TrainingCheckpoint,
  TrainingOutcome,
  TrainingRequest,
} from './training-request.ts';

/**
 * Trains a model on its engine: sampled batches, schedule, evaluation, best weights kept, checkpoints. The same request
 * on the same machine with the same number of threads gives the same weights to the bit, resumed or not.
 *
 * However a run ends, `onCheckpoint` gets its last good weights; the details of the error have the step of the last
 * checkpoint that was written, as `checkpointStep`.
 * @throws SentvecError `invalid-corpus`, `invalid-argument`, `training-failed` (step and rows in `details`), `aborted`,
 * and what `onCheckpoint` and `evaluate` throw
 */
export async function train(request: TrainingRequest): Promise<TrainingOutcome> {
  const options = resolveTrainingOptions(request.options, request.evaluate !== undefined);
  for (const set of request.sets) checkTrainingSet(set, options.batchSize);
  const { steps, usedExamples } = planSteps(request.sets, options);
  if (steps.length === 0)
    throw new SentvecError(
      'invalid-corpus',
      'There is nothing to train: no batch has enough examples. Use a smaller batch size.',
    );
  return await new TrainingRun(request, options, steps).run(usedExamples);
}

class TrainingRun {
  readonly #request: TrainingRequest;
  readonly #options: ResolvedOptions;
  readonly #steps: readonly PlannedStep[];
  readonly #history: { steps: HistoryStep[]; evaluations: HistoryEvaluation[] } = { steps: [], evaluations: [] };
  readonly #watch = new StepWatch();
  /** What was warned of, to do it once. */
  readonly #warnings = new Set<string>();
  #best: TrainingCheckpoint['best'];
  #done = 0;
  /** The step of the last checkpoint that was written. */
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
    while (this.#done < this.#steps.length && !this.#outOfPatience()) {
      throwIfAborted(signal);
      await this.#step(this.#steps[this.#done]!, tokenized);
      if (this.#isTimeToEvaluate()) await this.#evaluate();
      const { checkpointEvery } = this.#options;
      if (checkpointEvery !== undefined && this.#done % checkpointEvery === 0) await this.#keep();
    }
  }

  async #step({ batches, epoch }: PlannedStep, tokenized: TokenizedSets): Promise<void> {
    const { engine, onProgress } = this.#request;
    const { learningRate: peak, schedule, warmup, seed } = this.#options;
    const totalSteps = this.#steps.length;
    const warmupSteps = Math.round(warmup * totalSteps);
    const learningRate = learningRateAt({ kind: schedule, peak, totalSteps, warmupSteps }, this.#done);
    const result = await engine.step({
      batches: batches.map((batch) => tokenized.batch(batch)),
      objective: batches[0]!.set,
      learningRate,
      seed: seed + this.#done,
    });
    this.#check(result, batches);
    this.#done++;
    const entry = { step: this.#done, learningRate, ...result };
    this.#history.steps.push(entry);
    onProgress?.({ ...entry, totalSteps, epoch, examples: batches.reduce((sum, { rows }) => sum + rows.length, 0) });
  }

  /** The engine leaves the weights as they are when a number is not finite. */
  #check({ loss, gradientNorm }: StepResult, batches: readonly PlannedBatch[]): void {
    const { set } = batches[0]!;
    const { name } = this.#request.sets[set]!;
    const step = this.#done + 1;
    const rows = batches.flatMap((batch) => [...batch.rows]);
    const where = `at step ${step}, rows ${rows.slice(0, 8).join(', ')}${rows.length > 8 ? ', …' : ''} of ${name}`;
    const trainingError = (what: string, remedy: string) =>
      new SentvecError('training-failed', `${what} ${where}. ${remedy}`, { file: name, step, rows });
    const lower = `Use a learning rate lower than ${this.#options.learningRate}`;
    if (!Number.isFinite(loss)) throw trainingError(`The loss is ${loss}`, `${lower}, or look at those rows.`);
    if (!Number.isFinite(gradientNorm))
      throw trainingError(`The norm of the gradients is ${gradientNorm}`, `${lower}, or look at those rows.`);
    const divergence = this.#options.watchDivergence ? this.#watch.observe(set, loss, gradientNorm) : undefined;
    if (divergence === 'exploded')
      throw trainingError('The loss runs away and the gradients explode', `${lower}, or turn off watchDivergence.`);
    if (divergence !== undefined) this.#warn(`${divergence} ${name}`, `${warnings[divergence]} ${where}. ${lower}.`);
  }

  #warnOfUnused(usedExamples: readonly number[]): void {
    for (const [index, { name, examples }] of this.#request.sets.entries()) {
      const [used, all] = [usedExamples[index]!, examples.columns[0]!.length];
      if (used === all) continue;
      const why = 'The sampler leaves out those that fit into no batch, with a text twice or alone in its class.';
      this.#warn(`unused ${index}`, `An epoch uses ${used} of the ${all} examples of ${name}. ${why}`);
    }
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
    const evaluation = { step: this.#done, ...(await evaluate(embedWith(engine, reader, signal))) };
    const best = this.#history.evaluations.reduce((most, { score }) => Math.max(most, score), -Infinity);
    this.#history.evaluations.push(evaluation);
    if (evaluation.score > best) this.#best = { step: this.#done, weights: (await engine.state()).weights };
    onEvaluation?.(evaluation);
  }

  #outOfPatience(): boolean {
    const { patience } = this.#options;
    const best = this.#best?.step;
    if (patience === undefined || best === undefined) return false;
    return this.#history.evaluations.filter(({ step }) => step > best).length >= patience;
  }

  async #checkpoint(): Promise<TrainingCheckpoint> {
    return { step: this.#done, history: this.#history, state: await this.#request.engine.state(), best: this.#best };
  }

  async #keep(): Promise<void> {
    const { onCheckpoint } = this.#request;
    if (onCheckpoint === undefined) return;
    await onCheckpoint(await this.#checkpoint());
    this.#checkpointStep = this.#done;
  }

  /**
   * The error with the step whose weights are kept, after a last attempt to keep those of the present step.
   */
  async #withCheckpointStep(error: unknown): Promise<unknown> {
    try {
      if (this.#checkpointStep !== this.#done && this.#done > 0) await this.#keep();
    } catch {
      // What ended the run is what the caller must know.
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
        `The checkpoint is of step ${step}, but this run has only ${this.#steps.length}. It belongs to other data or options.`,
      );
    }
    await this.#request.engine.restore(state);
    this.#done = step;
    this.#checkpointStep = step;
    this.#history.steps.push(...history.steps);
    this.#history.evaluations.push(...history.evaluations);
    for (const [index, { loss, gradientNorm }] of history.steps.entries())
      this.#watch.observe(this.#steps[index]!.batches[0]!.set, loss, gradientNorm);
    this.#best = best;
  }

  async #end(usedExamples: readonly number[]): Promise<TrainingOutcome> {
    const { engine } = this.#request;
    const checkpoint = await this.#checkpoint();
    const bestStep = this.#best?.step ?? this.#done;
    if (this.#best && bestStep !== this.#done)
      await engine.restore({ ...checkpoint.state, weights: this.#best.weights });
    const stoppedEarly = this.#done < this.#steps.length;
    return { history: this.#history, steps: this.#done, bestStep, stoppedEarly, usedExamples, checkpoint };
  }
}

const warnings: Readonly<Record<Exclude<Divergence, 'exploded'>, string>> = {
  runaway: 'The loss runs away, it is more than three times its best,',
  collapse:
    'The model may have collapsed: the gradients have vanished and the loss is no better than at the beginning,',
};
