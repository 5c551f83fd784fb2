import type { Tensor } from 'onnxruntime-common';
import type { Matrix } from '@sentvec/core';
import type { TrainingBatch } from '../batch.ts';
import type { StepOrder, StepResult, TrainingEngine, TrainingState } from '../engine.ts';
import { AdamW, type AdamWOptions } from '../optimizer/adamw.ts';
import { Parameters, type InitialParameter } from '../optimizer/parameters.ts';
import { WholeBatch, type BatchGradients } from './batch-gradients.ts';
import { CachedBatch } from './cached-batch.ts';
import { dropoutSeed } from './dropout.ts';
import { add, scale } from './flat-arrays.ts';
import { GraphRunner, type ModelWeights, type OnnxRuntime, type RunnerOptions } from './graph-runner.ts';
import { matrixOf } from './tensors.ts';

/** What a graph engine executes; see `recordGraphs`. Graphs are the bytes of ONNX models. */
export interface EngineGraphs {
  readonly tokenTable: string;
  readonly tensors: readonly (InitialParameter & { readonly trained: boolean })[];
  readonly embedding: Uint8Array;
  /** A step graph for each objective. Empty when gradients are cached. */
  readonly steps: readonly Uint8Array[];
  readonly cached?:
    | {
        readonly examples: number;
        readonly embedding: Uint8Array;
        readonly pullback: Uint8Array;
        readonly losses: readonly Uint8Array[];
      }
    | undefined;
  readonly optimizer: AdamWOptions;
  readonly dropout: boolean;
}

/** How a {@link GraphEngine} runs. */
export interface GraphEngineOptions extends RunnerOptions {
  readonly name: string;
}

/** Executes recorded step graphs with onnxruntime, on the thread that it lives on. */
export class GraphEngine implements TrainingEngine {
  readonly name: string;
  readonly #runtime: OnnxRuntime;
  readonly #weights: ModelWeights;
  readonly #optimizer: AdamW;
  readonly #dropout: boolean;
  readonly #embedding: GraphRunner;
  readonly #objectives: readonly BatchGradients[];
  /** Gradients of one batch of several, before they are added to the others'. */
  #further: Float32Array | undefined;

  private constructor(
    runtime: OnnxRuntime,
    name: string,
    weights: ModelWeights,
    graphs: EngineGraphs,
    sessions: Sessions,
  ) {
    this.name = name;
    this.#runtime = runtime;
    this.#weights = weights;
    this.#optimizer = new AdamW(weights.parameters, graphs.optimizer);
    this.#dropout = graphs.dropout;
    this.#embedding = sessions.embedding;
    this.#objectives = sessions.objectives;
  }

  static async create(
    runtime: OnnxRuntime,
    graphs: EngineGraphs,
    { name, ...options }: GraphEngineOptions,
  ): Promise<GraphEngine> {
    const parameters = new Parameters(graphs.tensors.filter(({ trained }) => trained));
    const frozen = graphs.tensors.filter(({ trained }) => !trained);
    const weights = { parameters, frozen, tokenTable: graphs.tokenTable };
    const runner = (graph: Uint8Array) => GraphRunner.create(runtime, graph, weights, options);
    const embedding = await runner(graphs.embedding);
    const objectives: BatchGradients[] = [];
    for (const step of graphs.steps) objectives.push(new WholeBatch(runtime, await runner(step)));
    if (graphs.cached) {
      const { examples, pullback, losses } = graphs.cached;
      const shared = { examples, embedding: await runner(graphs.cached.embedding), pullback: await runner(pullback) };
      for (const loss of losses)
        objectives.push(
          new CachedBatch(runtime, parameters, shared, await runtime.InferenceSession.create(loss, options.session)),
        );
    }
    return new GraphEngine(runtime, name, weights, graphs, { embedding, objectives });
  }

  async step({ batches, objective = 0, learningRate, seed = 0 }: StepOrder): Promise<StepResult> {
    const { parameters } = this.#weights;
    const runner = this.#objectives[objective];
    if (runner === undefined) throw new RangeError(`There is no objective ${objective}.`);
    let loss = 0;
    for (const [index, batch] of batches.entries()) {
      const gradients = index === 0 ? parameters.gradients : (this.#further ??= new Float32Array(parameters.length));
      loss += await runner.gradients(batch, gradients, this.#seedInput(seed + index / batches.length));
      if (index > 0) add(parameters.gradients, gradients);
    }
    if (batches.length > 1) scale(parameters.gradients, 1 / batches.length);
    const gradientNorm = this.#optimizer.gradientNorm();
    const result = { loss: loss / batches.length, gradientNorm };
    if (Number.isFinite(result.loss) && Number.isFinite(gradientNorm)) this.#optimizer.step(learningRate, gradientNorm);
    return result;
  }

  async embed(batch: TrainingBatch): Promise<Matrix> {
    return matrixOf((await this.#embedding.run(batch))['vectors']!);
  }

  async state(): Promise<TrainingState> {
    const { weights, firstMoments, secondMoments } = this.#weights.parameters;
    return {
      steps: this.#optimizer.steps,
      weights: weights.slice(),
      firstMoments: firstMoments.slice(),
      secondMoments: secondMoments.slice(),
    };
  }

  async restore({ steps, weights, firstMoments, secondMoments }: TrainingState): Promise<void> {
    const { parameters } = this.#weights;
    this.#optimizer.steps = steps;
    parameters.weights.set(weights);
    parameters.firstMoments.set(firstMoments);
    parameters.secondMoments.set(secondMoments);
  }

  async dispose(): Promise<void> {
    await this.#embedding.dispose();
    for (const objective of this.#objectives) await objective.dispose();
  }

  #seedInput(seed: number): Record<string, Tensor> {
    if (!this.#dropout) return {};
    return { dropoutSeed: new this.#runtime.Tensor('float32', Float32Array.of(dropoutSeed(seed)), []) };
  }
}

interface Sessions {
  readonly embedding: GraphRunner;
  readonly objectives: readonly BatchGradients[];
}
