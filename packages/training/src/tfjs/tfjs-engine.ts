// An engine on TensorFlow.js: opens it with its gradients, from which the engine of all runtimes computes its steps.
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

/** Options of {@link tfjsEngine}: what is trained, as `recordGraphs` takes it, and where. */
export interface TfjsEngineOptions extends RecordOptions {
  /**
   * What to run on. `auto`: `tfjs-node-gpu` where it works, else `tfjs-node`, else WebAssembly.
   * @default 'auto'
   */
  readonly device?: 'auto' | TfjsDevice | undefined;
  /** Where a page finds the files of `@tensorflow/tfjs-backend-wasm`. Node finds them itself. */
  readonly wasmPaths?: WasmPaths | undefined;
}

/**
 * An engine on TensorFlow.js, with the gradients of TensorFlow.js. It works on the calling thread, whose event loop is
 * blocked during a step. Its state is that of the other engines: a run may go on with another one, within rounding.
 * @throws SentvecError `missing-dependency` without `@tensorflow/tfjs`, `backend-unavailable`, `invalid-argument` for
 * dropout of a model that has none
 */
export async function tfjsEngine(model: TrainableModel, options: TfjsEngineOptions): Promise<TrainingEngine> {
  checkOptionNames('tfjsEngine()', options, { ...recordOptionNames, device: true, wasmPaths: true });
  const { objectives, trained, dropout, cachedExamples, optimizer, device = 'auto', wasmPaths } = options;
  checkObjectives(model, dimensionOf(model), options);
  // Refuses dropout of a model that has none.
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
 * TensorFlow.js in this thread, with its gradients.
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
    `TensorFlow.js cannot train here. ${reasons.join('; ')}. Install what is missing, or choose another device.`,
    { device },
  );
}

/**
 * The core of TensorFlow.js comes without the gradients of its kernels; the whole of it registers them when it is
 * loaded.
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
