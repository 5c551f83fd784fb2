import { availableParallelism } from 'node:os';
import { checkOptionNames } from '@sentvec/platform';
import { startThread, type Thread } from '@sentvec/platform/node';
import type { OnnxDevice } from '@sentvec/backend-onnx';
import type { TrainingEngine } from '../engine.ts';
import type { EngineGraphs } from '../step/graph-gradients.ts';

/** Messages between the main thread and the training thread, see `ThreadProtocol`. Calls are executed in order. */
export interface EngineProtocol {
  readonly data: {
    readonly graphs: EngineGraphs;
    readonly device: OnnxDevice;
    readonly threads: number;
    readonly name: string;
  };
  readonly ready: undefined;
  readonly calls: Omit<TrainingEngine, 'name' | 'dispose'>;
  readonly programCalls: object;
}

/** Options of {@link onnxEngine}. */
export interface OnnxEngineOptions {
  /** Threads of onnxruntime. Two runs are bit-identical only with the same number. @default one for each core */
  readonly threads?: number | undefined;
  /** The device that computes the gradients. @default 'cpu' */
  readonly device?: OnnxDevice | undefined;
}

const engineThread = { file: './engine-thread.js', entry: '@sentvec/training/engine-thread', from: import.meta.url };

/** A training engine on onnxruntime-node in a worker thread, so that it does not block the caller's event loop. */
export function onnxEngine(graphs: EngineGraphs, options: OnnxEngineOptions = {}): TrainingEngine {
  checkOptionNames('onnxEngine()', options, { threads: true, device: true });
  const { threads = availableParallelism(), device = 'cpu' } = options;
  const name = device === 'cpu' ? 'onnxruntime-node' : `onnxruntime-node, ${device}`;
  const thread = startThread<EngineProtocol>(engineThread, {
    name: 'training engine',
    data: { graphs, device, threads, name },
    remedy: 'Start the training again, or resume it from its last checkpoint.',
  });
  thread.catch(() => {}); // Each call reports the error.
  const call: Thread<EngineProtocol>['call'] = async (method, argument) => (await thread).call(method, argument);
  return {
    name,
    step: (order) => call('step', order),
    embed: (batch) => call('embed', batch),
    state: () => call('state', undefined),
    restore: (state) => call('restore', state),
    dispose: () =>
      thread.then(
        (started) => started.close(),
        () => {},
      ),
  };
}
