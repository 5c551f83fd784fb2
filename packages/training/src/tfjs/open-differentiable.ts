import { automaticDevices, openRuntime, type Runtime, type TfjsDevice, type WasmPaths } from '@sentvec/backend-tfjs';
import { SentvecError } from '@sentvec/core';

/**
 * TensorFlow.js in this thread, with its gradients.
 * @throws SentvecError `missing-dependency` without `@tensorflow/tfjs`; `backend-unavailable` when no device works,
 * with the reasons
 */
export async function openDifferentiable(
  device: 'auto' | TfjsDevice,
  wasmPaths: WasmPaths | undefined,
): Promise<Runtime> {
  await registerGradients();
  const reasons: string[] = [];
  for (const candidate of device === 'auto' ? automaticDevices : [device]) {
    try {
      return await openRuntime(candidate, wasmPaths);
    } catch (error) {
      reasons.push(`${candidate}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  throw new SentvecError('backend-unavailable', `TensorFlow.js cannot train here. ${reasons.join('; ')}`, { device });
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
