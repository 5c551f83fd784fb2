// The training engine on TensorFlow.js.
import {
  reasonUnavailable,
  automaticDevices,
  openRuntime,
  type Runtime,
  type TfjsDevice,
  type WasmPaths,
} from '@sentvec/backend-tfjs';
import { SentvecError } from '@sentvec/core';
import { checkOptionNames } from '@sentvec/platform';
import type { TrainingEngine } from '../engine.ts';
import { Parameters } from '../optimizer/parameters.ts';
import { GradientEngine } from '../step/gradient-engine.ts';
import { checkObjectives, recordOptionNames, type RecordOptions } from '../step/record-graphs.ts';
import { dropsAnything, fixedTensors, lossTensors, recordEmbedding, trainableTensors } from '../step/record-step.ts';
import { dimensionOf, drawsOf, routesOf, type TrainableModel } from '../step/siamese.ts';
import { TfjsGradients } from './tfjs-gradients.ts';

/** Options of {@link tfjsEngine}: those of `recordGraphs`, and the device. */
export interface TfjsEngineOptions extends RecordOptions {
  /**
   * The device. `auto` uses the first that works of `tfjs-node-gpu`, `tfjs-node` and WebAssembly.
   * @default 'auto'
   */
  readonly device?: 'auto' | TfjsDevice | undefined;
  /** URLs of the `.wasm` files of `@tensorflow/tfjs-backend-wasm`, for a page. Node finds them itself. */
  readonly wasmPaths?: WasmPaths | undefined;
}

/**
 * A training engine on TensorFlow.js, which uses its automatic differentiation. It runs on the calling thread and
 * blocks the event loop during a computation. Its state has the same format as that of other engines, so a run can
 * continue on another engine, with small rounding differences.
 * @throws SentvecError `missing-dependency` without `@tensorflow/tfjs`; `backend-unavailable`; `invalid-argument` for
 * dropout with a model that has none
 */
export async function tfjsEngine(model: TrainableModel, options: TfjsEngineOptions): Promise<TrainingEngine> {
  checkOptionNames('tfjsEngine()', options, { ...recordOptionNames, device: true, wasmPaths: true });
  const { objectives, trained, dropout, cachedExamples, optimizer, device = 'auto', wasmPaths } = options;
  checkObjectives(model, dimensionOf(model), options);
  // Recording throws for dropout with a model that has none.
  for (const route of Object.values(routesOf(model)))
    if (dropout && (model.routes === undefined || route.model.definition.network.layers > 0))
      recordEmbedding(route.model, options);
  const runtime = await openDifferentiable(device, wasmPaths);
  const tensors = trainableTensors(model);
  const parameters = new Parameters([
    ...tensors.filter(({ name }) => trained.has(name)),
    ...lossTensors(objectives, dimensionOf(model)),
  ]);
  const frozen = [...tensors.filter(({ name }) => !trained.has(name)), ...fixedTensors(model)];
  const gradients = new TfjsGradients(runtime, { model, parameters, frozen, objectives, dropout });
  const engine = {
    objectives: objectives.map(({ loss }) => ({ draws: drawsOf(loss, model) })),
    dropout: dropsAnything(model, options),
    cachedExamples,
    optimizer,
  };
  return new GradientEngine(gradients, parameters, { name: runtime.description, ...engine });
}

/**
 * Loads TensorFlow.js with its gradients in this thread.
 * @throws SentvecError `missing-dependency` without `@tensorflow/tfjs`; `backend-unavailable` when no device works,
 * with the reasons
 */
async function openDifferentiable(device: 'auto' | TfjsDevice, wasmPaths: WasmPaths | undefined): Promise<Runtime> {
  await registerGradients();
  const reasons: string[] = [];
  for (const candidate of device === 'auto' ? automaticDevices : [device]) {
    const missing = reasonUnavailable(candidate);
    if (missing !== undefined) {
      reasons.push(missing);
      continue;
    }
    try {
      return await openRuntime(candidate, wasmPaths);
    } catch (error) {
      reasons.push(`${candidate}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  throw new SentvecError(
    'backend-unavailable',
    `TensorFlow.js cannot train on any device. ${reasons.join('; ')}. Install the missing packages, or choose another device.`,
    { device },
  );
}

/**
 * Loads the package `@tensorflow/tfjs`, which registers the gradients of the kernels. `@tensorflow/tfjs-core` has none.
 */
async function registerGradients(): Promise<void> {
  try {
    await import('@tensorflow/tfjs');
  } catch (cause) {
    throw new SentvecError(
      'missing-dependency',
      'Training on TensorFlow.js needs its gradients, from the package @tensorflow/tfjs: npm install @tensorflow/tfjs@4.22.0',
      { package: '@tensorflow/tfjs' },
      { cause },
    );
  }
}
