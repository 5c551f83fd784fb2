import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { SentvecError, type Matrix } from '@sentvec/core';
import type { TrainingBatch } from '../batch.ts';
import type { StepOrder, StepResult, TrainingEngine, TrainingState } from '../engine.ts';
import type { EngineGraphs } from '../step/graph-gradients.ts';

/** A method of the engine that the thread is asked to run. */
export interface EngineCall {
  readonly id: number;
  readonly method: 'step' | 'embed' | 'state' | 'restore' | 'dispose';
  readonly argument: unknown;
}

/** What came of it. */
export interface EngineReply {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: ReturnType<SentvecError['toJSON']>;
}

/** Options of {@link onnxEngine}. */
export interface OnnxEngineOptions {
  /** Threads of onnxruntime. A run is the same to the bit only with the same number. Default: one for each core. */
  readonly threads?: number | undefined;
}

/** A graph engine on onnxruntime-node, in a thread of its own, so that the caller's event loop stays free. */
export function onnxEngine(
  graphs: EngineGraphs,
  { threads = availableParallelism() }: OnnxEngineOptions = {},
): TrainingEngine {
  return new ThreadEngine(graphs, threads);
}

interface Waiting {
  resolve(result: unknown): void;
  reject(error: Error): void;
}

class ThreadEngine implements TrainingEngine {
  readonly name = 'onnxruntime-node';
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  #calls = 0;
  #ended: Error | undefined;

  constructor(graphs: EngineGraphs, threads: number) {
    this.#worker = new Worker(new URL('./engine-thread.js', import.meta.url), {
      workerData: { graphs, threads, name: this.name },
    });
    this.#worker.on('message', ({ id, result, error }: EngineReply) => {
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error) waiting?.reject(SentvecError.from(error));
      else waiting?.resolve(result);
    });
    this.#worker.on('error', (error: Error) =>
      this.#end(
        new SentvecError('backend-failed', `The training thread failed: ${error.message}`, {}, { cause: error }),
      ),
    );
    this.#worker.on('exit', () => this.#end(new SentvecError('disposed', 'The training engine has ended.')));
    this.#worker.unref();
  }

  step(order: StepOrder): Promise<StepResult> {
    return this.#call('step', order) as Promise<StepResult>;
  }

  embed(batch: TrainingBatch): Promise<Matrix> {
    return this.#call('embed', batch) as Promise<Matrix>;
  }

  state(): Promise<TrainingState> {
    return this.#call('state') as Promise<TrainingState>;
  }

  async restore(state: TrainingState): Promise<void> {
    await this.#call('restore', state);
  }

  async dispose(): Promise<void> {
    if (this.#ended) return;
    await this.#call('dispose').catch(() => undefined);
    await this.#worker.terminate();
  }

  #call(method: EngineCall['method'], argument?: unknown): Promise<unknown> {
    if (this.#ended) return Promise.reject(this.#ended);
    const id = this.#calls++;
    this.#worker.ref();
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, method, argument } satisfies EngineCall);
    }).finally(() => {
      if (this.#waiting.size === 0) this.#worker.unref();
    });
  }

  #end(error: Error): void {
    this.#ended ??= error;
    for (const waiting of this.#waiting.values()) waiting.reject(this.#ended);
    this.#waiting.clear();
  }
}
