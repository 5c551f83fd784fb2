// The backend `webgpu`: chooses the device, opens the model.
import { configuredPositions, findShippedFile, hasHalfPrecisionWeights, plainReference } from '@sentvec/architectures';
import {
  SentvecError,
  throwIfAborted,
  type Availability,
  type Backend,
  type Encoder,
  type LoadOptions,
  type ModelFiles,
  type TokenBatch,
} from '@sentvec/core';
import { warn } from '@sentvec/platform';
import { describeDevice, sharedDevice } from './device.ts';
import { WebEncoder } from './encoder.ts';
import { DeviceHeads } from './head/device-head.ts';
import { readModelSource, type ModelSource } from './model-source.ts';
import { checkOptions, type WebGpuOptions } from './options.ts';
import { prepareRuntime, wasmThreads } from './runtime.ts';
import { TokenSession } from './token-session.ts';

/**
 * The backend that runs encoders with onnxruntime-web: on WebGPU when there is a GPU, else on WebAssembly, and says so.
 * WebAssembly computes in the calling thread: load the model in a web worker where that must stay free.
 * @throws SentvecError `invalid-argument` when an option cannot be used
 */
export function webgpu(options: WebGpuOptions = {}): Backend {
  checkOptions(options);
  return {
    specificationVersion: 1,
    name: 'webgpu',
    isAvailable: () => availability(options),
    load: (model, loadOptions) => load(model, options, loadOptions),
    reference: (model, batch) => reference(model, batch, options),
  };
}

/** Float32 on a GPU, whose exponentials and square roots are approximations. */
const gpuError = 2e-4;

/** A model with an ONNX file has no reference: its safetensors would be downloaded for nothing else. */
const reference = async (
  files: ModelFiles,
  batch: TokenBatch,
  { variant }: WebGpuOptions,
): ReturnType<typeof plainReference> => {
  if (findShippedFile(files.name, await files.list(), variant) === undefined) return plainReference(files, batch);
  return { reason: `${files.name} has an ONNX file and no self-check.json, which sentvec export writes.` };
};

async function availability(options: WebGpuOptions): Promise<Availability> {
  const device = await chooseDevice(options, () => {});
  prepareRuntime(options);
  const threads = wasmThreads();
  return {
    available: true,
    device:
      device === undefined ? `WebAssembly, ${threads} ${threads === 1 ? 'thread' : 'threads'}` : describeDevice(device),
  };
}

async function load(
  files: ModelFiles,
  options: WebGpuOptions,
  { pairs = false, signal, onWarning = warn }: LoadOptions = {},
): Promise<Encoder> {
  throwIfAborted(signal);
  prepareRuntime(options);
  const source = await readModelSource(files, options.variant, pairs);
  throwIfAborted(signal);
  const device = await chooseDevice(options, onWarning);
  if (device !== undefined) checkPrecision(source, device);
  const session = await open(source, device);
  const encoder = new WebEncoder(session, device && new DeviceHeads(device), {
    maxPositions: await configuredPositions(files),
    batchTokens: options.batchTokens ?? (device === undefined ? 512 * wasmThreads() : 4096),
    weightsFile: source.weightsFile,
    roundingError: device === undefined ? undefined : gpuError,
  });
  if (signal?.aborted) await encoder.dispose();
  throwIfAborted(signal);
  return encoder;
}

/** `undefined`: WebAssembly. */
async function chooseDevice(
  options: WebGpuOptions,
  onWarning: (message: string) => void,
): Promise<GPUDevice | undefined> {
  if (options.preferWasm === true) return undefined;
  if (options.device !== undefined) return options.device;
  const device = await sharedDevice();
  if (!('reason' in device)) return device;
  onWarning(`${device.reason} Going on with WebAssembly, which is slower.`);
  return undefined;
}

/** Without shader-f16, onnxruntime either fails in the middle or computes something else. */
function checkPrecision(source: ModelSource, device: GPUDevice): void {
  if (!source.shipped || device.features.has('shader-f16') || !hasHalfPrecisionWeights(source.model)) return;
  throw new SentvecError(
    'backend-unavailable',
    `${source.file} holds 16-bit floats, which this GPU cannot compute with (it lacks shader-f16). Take another variant of the model, or webgpu({ preferWasm: true }).`,
    { file: source.file },
  );
}

async function open(source: ModelSource, device: GPUDevice | undefined): Promise<TokenSession> {
  try {
    return await TokenSession.open(source, device);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const message = `onnxruntime-web cannot open ${source.file}: ${reason} ${source.remedy}`;
    throw new SentvecError('invalid-model', message, { file: source.file }, { cause: error });
  }
}
