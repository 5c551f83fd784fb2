// The options of the backend, and their check.
import { checkOptionNames, SentvecError, type OptionNames } from '@sentvec/platform';

/**
 * Where onnxruntime-node can compute: the CPU, NVIDIA's CUDA, Apple's CoreML, DirectML on Windows, WebGPU through
 * Dawn.
 */
export type OnnxDevice = 'cpu' | 'cuda' | 'coreml' | 'dml' | 'webgpu';

/** Options of {@link onnx}. */
export interface OnnxOptions {
  /**
   * Where to compute. A name: there, or the error `backend-unavailable`. A list: the first that works, with a warning
   * for each that does not. `auto`: CUDA where its libraries are installed, else the CPU.
   * @default 'auto'
   */
  readonly device?: 'auto' | OnnxDevice | readonly OnnxDevice[] | undefined;
  /**
   * A file under `onnx/`, without its ending: `model_quantized` or `model_fp16`, say.
   * @default `onnx/model.onnx` or `model.onnx` when the model has one, else one is recorded from its safetensors
   */
  readonly variant?: string | undefined;
  /**
   * Sessions, each in a worker thread with its own weights.
   * @default one for each core, as far as `memoryBudget` allows, and up to two with a thread for each core, for texts
   * that come one at a time: one in a worker thread, one on the calling thread for short texts; one on a GPU
   */
  readonly sessions?: number | undefined;
  /**
   * Threads of each session.
   * @default the cores divided by the sessions
   */
  readonly threadsPerSession?: number | undefined;
  /**
   * Bytes that all sessions together may take, estimated from the size of the weights. A model that needs more than this
   * and than all memory is refused.
   * @default half of the memory that this process may have
   */
  readonly memoryBudget?: number | undefined;
  /**
   * Tokens (rows × longest) of a batch that the pipeline should aim at.
   * @default 512 for each thread of a session; 16,384 on a GPU
   */
  readonly batchTokens?: number | undefined;
  /**
   * The folder of the cache, in which recorded models are stored.
   * @default `cacheDirectory()` of `@sentvec/core/node`, which `SENTVEC_CACHE` decides
   */
  readonly cacheDirectory?: string | undefined;
}

const devices: readonly OnnxDevice[] = ['cpu', 'cuda', 'coreml', 'dml', 'webgpu'];
const counts = ['sessions', 'threadsPerSession', 'memoryBudget', 'batchTokens'] as const;

const optionNames: OptionNames<OnnxOptions> = {
  device: true,
  variant: true,
  sessions: true,
  threadsPerSession: true,
  memoryBudget: true,
  batchTokens: true,
  cacheDirectory: true,
};

/** @throws SentvecError `invalid-argument` when an option cannot be used */
export function checkOptions(options: OnnxOptions): void {
  checkOptionNames('onnx()', options, optionNames);
  for (const name of counts) {
    const value = options[name];
    if (value === undefined || (Number.isSafeInteger(value) && value > 0)) continue;
    throw new SentvecError(
      'invalid-argument',
      `onnx({ ${name} }) must be a whole number above 0, not ${String(value)}.`,
    );
  }
  const { device = 'auto' } = options;
  for (const name of typeof device === 'string' ? [device] : device) {
    if (name === 'auto' && name === device) continue;
    if (devices.includes(name as OnnxDevice)) continue;
    throw new SentvecError(
      'invalid-argument',
      `onnx({ device }) knows no "${name}". It knows auto, ${devices.join(', ')}.`,
    );
  }
  if (device.length === 0)
    throw new SentvecError('invalid-argument', 'onnx({ device }) got an empty list. Name at least one device.');
}
