// Training on onnxruntime: runs recorded graphs that compute the gradients of a batch.
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

/** The ONNX models that {@link graphEngine} executes, as bytes. `recordGraphs` makes them. */
export interface EngineGraphs {
  readonly tensors: readonly (InitialParameter & { readonly trained: boolean })[];
  readonly objectives: readonly {
    /** The number of numbers in a label, for losses with more than one. */
    readonly labelWidth?: number | undefined;
    /** The draws of the loss in each step. */
    readonly draws: readonly Draw[];
  }[];
  /** The graphs of each route, by name. A model without a Router has one route, ''. */
  readonly routes: Readonly<Record<string, RouteGraphs>>;
  /** One graph of a whole step per objective. Empty with gradient caching, which a model with a Router always uses. */
  readonly steps: readonly Uint8Array[];
  /** With gradient caching: one graph of the loss per objective. */
  readonly losses: readonly Uint8Array[];
  readonly cachedExamples?: number | undefined;
  readonly optimizer: AdamWOptions;
  readonly dropout: boolean;
}

/** The graphs of a route. */
export interface RouteGraphs {
  /** Maps names of tensors in the model to names in the graphs. @default the names are the same */
  readonly names?: Readonly<Record<string, string>> | undefined;
  readonly tokenTable: string;
  /** See `EncoderNetwork.paddingId`. */
  readonly paddingId?: number | undefined;
  readonly embedding: Uint8Array;
  /** The graphs of gradient caching. */
  readonly cached?:
    | {
        readonly embedding: Uint8Array;
        /** @default no tensor of the route is trained */
        readonly pullback: Uint8Array | undefined;
      }
    | undefined;
}

/** Options of {@link graphEngine}. */
export interface GraphEngineOptions extends RunnerOptions {
  readonly name: string;
}

/** A training engine that executes recorded graphs with onnxruntime-node or onnxruntime-web, on the calling thread. */
export async function graphEngine(
  runtime: OnnxRuntime,
  graphs: EngineGraphs,
  options: GraphEngineOptions,
): Promise<TrainingEngine> {
  checkOptionNames('graphEngine()', options, { name: true, session: true, writesInPlace: true });
  const { name, ...running } = options;
  const { tensors, routes, cachedExamples, dropout, objectives, optimizer } = graphs;
  const parameters = new Parameters(tensors.filter(({ trained }) => trained));
  const frozen = tensors.filter(({ trained }) => !trained);
  const open = (graph: Uint8Array, { names, tokenTable, paddingId }: RouteGraphs) =>
    GraphRunner.create(runtime, graph, { parameters, frozen, names, tokenTable, paddingId }, running);
  const sessions: Sessions = { routes: new Map(), steps: [], losses: [] };
  for (const [routeName, route] of Object.entries(routes)) {
    const { embedding, cached } = route;
    sessions.routes.set(routeName, {
      embedding: await open(embedding, route),
      cached: cached && {
        embedding: await open(cached.embedding, route),
        pullback: cached.pullback && (await open(cached.pullback, route)),
      },
    });
  }
  const [first] = Object.values(routes);
  for (const step of graphs.steps) sessions.steps.push(await open(step, first!));
  for (const loss of graphs.losses) sessions.losses.push(await open(loss, first!));
  const gradients = new GraphGradients(runtime, objectives, sessions);
  const engine = { name, objectives, dropout, optimizer, cachedExamples };
  return new GradientEngine(gradients, parameters, engine);
}

interface Sessions {
  readonly routes: Map<string, RouteSessions>;
  readonly steps: GraphRunner[];
  readonly losses: GraphRunner[];
}

interface RouteSessions {
  readonly embedding: GraphRunner;
  readonly cached: { readonly embedding: GraphRunner; readonly pullback: GraphRunner | undefined } | undefined;
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
    const { embedding, cached } = this.#route(batch);
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
    const { pullback } = this.#route(batch).cached!;
    if (pullback === undefined) return void into.fill(0);
    const vectorGradients = new this.#runtime.Tensor('float32', data, [rows, cols]);
    const more = { vectorGradients, ...this.#dropoutInput(dropout) };
    await pullback.run(batch, { gradients: into, more });
  }

  async dispose(): Promise<void> {
    const { routes, steps, losses } = this.#sessions;
    const ofRoutes = [...routes.values()].flatMap(({ embedding, cached }) => [
      embedding,
      cached?.embedding,
      cached?.pullback,
    ]);
    await Promise.all([...ofRoutes, ...steps, ...losses].map(async (runner) => runner?.dispose()));
  }

  /** The sessions of the route of a batch of one column. */
  #route({ routes: [name] = [''] }: TrainingBatch): RouteSessions {
    return this.#sessions.routes.get(name!)!;
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
