// Training on onnxruntime: recorded graphs that give the gradients of a batch, and an engine around them.
import type { Tensor } from 'onnxruntime-common';
import type { Matrix } from '@sentvec/core';
import { checkOptionNames } from '@sentvec/platform';
import type { TrainingBatch } from '../data/batch.ts';
import type { TrainingEngine } from '../engine.ts';
import type { AdamWOptions } from '../optimizer/adamw.ts';
import { Parameters, type InitialParameter } from '../optimizer/parameters.ts';
import type { Draw } from './draws.ts';
import { GradientEngine, type BatchGradients, type Chance } from './gradient-engine.ts';
import { GraphRunner, matrixOf, numberOf, type OnnxRuntime, type RunnerOptions } from './graph-runner.ts';

/** What {@link graphEngine} executes; see `recordGraphs`. Graphs are the bytes of ONNX models. */
export interface EngineGraphs {
  readonly tokenTable: string;
  /** See `EncoderNetwork.paddingId`. */
  readonly paddingId?: number | undefined;
  readonly tensors: readonly (InitialParameter & { readonly trained: boolean })[];
  readonly objectives: readonly {
    /** For losses with several numbers in a label: how many. */
    readonly labelWidth?: number | undefined;
    /** What the loss draws in each step. */
    readonly draws: readonly Draw[];
  }[];
  readonly embedding: Uint8Array;
  /** A step graph for each objective. Empty when gradients are cached. */
  readonly steps: readonly Uint8Array[];
  readonly cached?:
    | {
        readonly examples: number;
        readonly embedding: Uint8Array;
        readonly pullback: Uint8Array;
        /** One for each objective. */
        readonly losses: readonly Uint8Array[];
      }
    | undefined;
  readonly optimizer: AdamWOptions;
  readonly dropout: boolean;
}

/** How {@link graphEngine} runs. */
export interface GraphEngineOptions extends RunnerOptions {
  readonly name: string;
}

/** An engine that executes recorded graphs with onnxruntime-node or onnxruntime-web, on the calling thread. */
export async function graphEngine(
  runtime: OnnxRuntime,
  graphs: EngineGraphs,
  options: GraphEngineOptions,
): Promise<TrainingEngine> {
  checkOptionNames('graphEngine()', options, { name: true, session: true, writesInPlace: true });
  const { name, ...running } = options;
  const { tensors, tokenTable, paddingId, cached, dropout, objectives, optimizer } = graphs;
  const parameters = new Parameters(tensors.filter(({ trained }) => trained));
  const weights = { parameters, frozen: tensors.filter(({ trained }) => !trained), tokenTable, paddingId };
  const open = (graph: Uint8Array) => GraphRunner.create(runtime, graph, weights, running);
  const sessions: Sessions = { embedding: await open(graphs.embedding), steps: [], losses: [] };
  for (const step of graphs.steps) sessions.steps.push(await open(step));
  if (cached) {
    sessions.cached = { embedding: await open(cached.embedding), pullback: await open(cached.pullback) };
    for (const loss of cached.losses) sessions.losses.push(await open(loss));
  }
  const gradients = new GraphGradients(runtime, objectives, sessions);
  const engine = { name, objectives, dropout, optimizer, cachedExamples: cached?.examples };
  return new GradientEngine(gradients, parameters, engine);
}

interface Sessions {
  readonly embedding: GraphRunner;
  readonly steps: GraphRunner[];
  cached?: { readonly embedding: GraphRunner; readonly pullback: GraphRunner };
  readonly losses: GraphRunner[];
}

class GraphGradients implements BatchGradients {
  readonly #runtime: OnnxRuntime;
  readonly #objectives: EngineGraphs['objectives'];
  readonly #sessions: Sessions;

  constructor(runtime: OnnxRuntime, objectives: EngineGraphs['objectives'], sessions: Sessions) {
    this.#runtime = runtime;
    this.#objectives = objectives;
    this.#sessions = sessions;
  }

  async embed(batch: TrainingBatch, dropout?: Float32Array): Promise<Matrix> {
    const { embedding, cached } = this.#sessions;
    const graph = dropout === undefined ? embedding : cached!.embedding;
    return matrixOf((await graph.run(batch, { more: this.#dropoutInput(dropout) }))['vectors']!);
  }

  async lossGradients(
    batch: TrainingBatch,
    objective: number,
    into: Float32Array,
    { dropout, draws }: Chance = {},
  ): Promise<number> {
    const more = {
      ...this.#labelInput(batch, objective),
      ...this.#dropoutInput(dropout),
      ...this.#drawsInput(draws),
    };
    return numberOf((await this.#sessions.steps[objective]!.run(batch, { gradients: into, more }))['loss']!);
  }

  async vectorGradients(
    { data, cols }: Matrix,
    batch: TrainingBatch,
    objective: number,
    into: Float32Array,
    { draws }: Chance = {},
  ): Promise<{ readonly loss: number; readonly gradients: Float32Array }> {
    const vectors = new this.#runtime.Tensor('float32', data, [batch.columns, batch.examples, cols]);
    const more = { vectors, ...this.#labelInput(batch, objective), ...this.#drawsInput(draws) };
    const results = await this.#sessions.losses[objective]!.run(batch, { gradients: into, more });
    return { loss: numberOf(results['loss']!), gradients: results['vectorGradients']!.data as Float32Array };
  }

  async pullback(
    batch: TrainingBatch,
    { data, rows, cols }: Matrix,
    into: Float32Array,
    dropout?: Float32Array,
  ): Promise<void> {
    const vectorGradients = new this.#runtime.Tensor('float32', data, [rows, cols]);
    const more = { vectorGradients, ...this.#dropoutInput(dropout) };
    await this.#sessions.cached!.pullback.run(batch, { gradients: into, more });
  }

  async dispose(): Promise<void> {
    const { embedding, steps, cached, losses } = this.#sessions;
    const runners = [embedding, ...steps, ...(cached ? [cached.embedding, cached.pullback] : []), ...losses];
    await Promise.all(runners.map((runner) => runner.dispose()));
  }

  #labelInput({ labels, examples }: TrainingBatch, objective: number): Record<string, Tensor> {
    if (labels === undefined) return {};
    const { labelWidth } = this.#objectives[objective]!;
    const shape = labelWidth === undefined ? [examples] : [examples, labelWidth];
    return { labels: new this.#runtime.Tensor('float32', labels, shape) };
  }

  #drawsInput(draws: Float32Array | undefined): Record<string, Tensor> {
    return draws === undefined ? {} : { draws: new this.#runtime.Tensor('float32', draws, [draws.length]) };
  }

  #dropoutInput(key: Float32Array | undefined): Record<string, Tensor> {
    return key === undefined ? {} : { dropoutKey: new this.#runtime.Tensor('float32', key, [key.length]) };
  }
}
