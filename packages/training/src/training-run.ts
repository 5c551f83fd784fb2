import { SentvecError, throwIfAborted } from '@sentvec/core';
import { makeBatch, type TrainingBatch } from './batch.ts';
import { DivergenceWatch } from './divergence.ts';
import { embedWith } from './embed-texts.ts';
import type { StepResult } from './engine.ts';
import type { PlannedBatch } from './epoch-plan.ts';
import { learningRateAt } from './schedule.ts';
import type { PlannedStep } from './step-plan.ts';
import { tokenizeColumn, type TokenizedColumn } from './texts.ts';
import type { TrainingOutcome, TrainingRequest } from './trainer.ts';
import type { HistoryEvaluation, HistoryStep, TrainingCheckpoint } from './training-history.ts';
import type { ResolvedOptions } from './training-options.ts';
import type { TrainingSet } from './training-set.ts';

/** One run of training, from its plan to its end. See `train`. */
export class TrainingRun {
  readonly #request: TrainingRequest;
  readonly #options: ResolvedOptions;
  readonly #steps: readonly PlannedStep[];
  readonly #history: { steps: HistoryStep[]; evaluations: HistoryEvaluation[] } = { steps: [], evaluations: [] };
  readonly #divergence = new DivergenceWatch();
  #columns: readonly (readonly TokenizedColumn[])[] = [];
  #best: { step: number; weights: Float32Array } | undefined;
  #done = 0;

  constructor(request: TrainingRequest, options: ResolvedOptions, steps: readonly PlannedStep[]) {
    this.#request = request;
    this.#options = options;
    this.#steps = steps;
  }

  async run(): Promise<TrainingOutcome> {
    const { resumeFrom } = this.#request;
    this.#columns = await this.#tokenize();
    if (resumeFrom) await this.#restore(resumeFrom);
    else await this.#evaluate();
    let stoppedEarly = this.#outOfPatience();
    while (this.#done < this.#steps.length && !stoppedEarly) {
      await this.#stopIfAborted();
      await this.#step(this.#steps[this.#done]!);
      if (this.#isTimeToEvaluate()) {
        await this.#evaluate();
        stoppedEarly = this.#outOfPatience();
      }
      const { checkpointEvery } = this.#options;
      if (checkpointEvery !== undefined && this.#done % checkpointEvery === 0) await this.#checkpoint();
    }
    return await this.#finish(stoppedEarly);
  }

  async #tokenize(): Promise<TokenizedColumn[][]> {
    const { sets, reader, signal } = this.#request;
    const all: TokenizedColumn[][] = [];
    for (const { examples, prompts } of sets) {
      const columns: TokenizedColumn[] = [];
      for (const [index, texts] of examples.columns.entries())
        columns.push(await tokenizeColumn(reader, texts, prompts?.[index], signal));
      all.push(columns);
    }
    return all;
  }

  async #step({ batches, epoch }: PlannedStep): Promise<void> {
    const { engine, sets, onProgress } = this.#request;
    const { learningRate: peak, schedule, warmup, seed } = this.#options;
    const totalSteps = this.#steps.length;
    const learningRate = learningRateAt(
      { kind: schedule, peak, totalSteps, warmupSteps: Math.round(warmup * totalSteps) },
      this.#done,
    );
    const { set } = batches[0]!;
    const order = {
      batches: batches.map((batch) => this.#batch(batch)),
      objective: set,
      learningRate,
      seed: seed + this.#done,
    };
    const result = await engine.step(order);
    this.#checkResult(result, batches, sets[set]!);
    this.#done++;
    const entry = { step: this.#done, learningRate, ...result };
    this.#history.steps.push(entry);
    onProgress?.({ ...entry, totalSteps, epoch, examples: batches.reduce((sum, { rows }) => sum + rows.length, 0) });
  }

  #batch({ set, rows }: PlannedBatch): TrainingBatch {
    const { labels, labelWidth = 1 } = this.#request.sets[set]!.examples;
    const columns = this.#columns[set]!.map(({ texts, unpooledTokens }) => ({
      unpooledTokens,
      texts: Array.from(rows, (row) => texts[row]!),
    }));
    if (labels === undefined || this.#request.sets[set]!.loss.labels === 'none') return makeBatch(columns);
    const chosen = new Float32Array(rows.length * labelWidth);
    for (const [index, row] of rows.entries()) {
      for (let i = 0; i < labelWidth; i++) chosen[index * labelWidth + i] = labels[row * labelWidth + i]!;
    }
    return makeBatch(columns, chosen);
  }

  #checkResult({ loss, gradientNorm }: StepResult, batches: readonly PlannedBatch[], { name }: TrainingSet): void {
    const rows = batches.flatMap((batch) => [...batch.rows]);
    const where = `at step ${this.#done + 1}, rows ${rows.slice(0, 8).join(', ')}${rows.length > 8 ? ', …' : ''} of ${name}`;
    const details = { file: name, step: this.#done + 1, rows };
    if (!Number.isFinite(loss) || !Number.isFinite(gradientNorm)) {
      const what = Number.isFinite(loss) ? `The norm of the gradients is ${gradientNorm}` : `The loss is ${loss}`;
      throw new SentvecError(
        'training-failed',
        `${what} ${where}. The weights of the step before are kept. Use a lower learning rate, or look at those rows.`,
        details,
      );
    }
    const divergence = this.#divergence.observe(batches[0]!.set, loss, gradientNorm);
    if (divergence === undefined) return;
    const what = {
      runaway: 'The loss runs away: it is more than three times its best',
      collapse: 'The model has collapsed: the gradients have vanished and the loss is no better than at the beginning',
    }[divergence];
    throw new SentvecError(
      'training-failed',
      `${what}, ${where}. Use a learning rate lower than ${this.#options.learningRate}.`,
      details,
    );
  }

  #isTimeToEvaluate(): boolean {
    const { evaluateEvery } = this.#options;
    if (this.#done === this.#steps.length) return true;
    return evaluateEvery === 'epoch' ? this.#steps[this.#done - 1]!.lastOfEpoch : this.#done % evaluateEvery === 0;
  }

  async #evaluate(): Promise<void> {
    const { evaluate, engine, reader, onEvaluation } = this.#request;
    if (evaluate === undefined) return;
    const evaluation = { step: this.#done, ...(await evaluate(embedWith(engine, reader))) };
    const best = this.#history.evaluations.reduce((most, { score }) => Math.max(most, score), -Infinity);
    this.#history.evaluations.push(evaluation);
    if (evaluation.score > best) this.#best = { step: this.#done, weights: (await engine.state()).weights };
    onEvaluation?.(evaluation);
  }

  #outOfPatience(): boolean {
    const { patience } = this.#options;
    const { evaluations } = this.#history;
    if (patience === undefined || this.#best === undefined) return false;
    const since = evaluations.filter(({ step }) => step > this.#best!.step).length;
    return since >= patience;
  }

  async #stopIfAborted(): Promise<void> {
    const { signal } = this.#request;
    if (signal?.aborted) await this.#checkpoint();
    throwIfAborted(signal);
  }

  async #checkpoint(): Promise<void> {
    const { engine, onCheckpoint } = this.#request;
    await onCheckpoint?.({ step: this.#done, history: this.#history, state: await engine.state(), best: this.#best });
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
    this.#history.steps.push(...history.steps);
    this.#history.evaluations.push(...history.evaluations);
    for (const [index, { loss, gradientNorm }] of history.steps.entries()) {
      this.#divergence.observe(this.#steps[index]!.batches[0]!.set, loss, gradientNorm);
    }
    if (best) this.#best = { ...best };
  }

  async #finish(stoppedEarly: boolean): Promise<TrainingOutcome> {
    const { engine } = this.#request;
    const bestStep = this.#best?.step ?? this.#done;
    if (this.#best && bestStep !== this.#done)
      await engine.restore({ ...(await engine.state()), weights: this.#best.weights });
    return { history: this.#history, steps: this.#done, bestStep, stoppedEarly };
  }
}
