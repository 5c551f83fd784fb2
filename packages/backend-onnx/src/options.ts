// The options of the backend, and their check.
import { checkOptionNames, SentvecError, type OptionNames } from '@sentvec/platform';

/** The devices of onnxruntime-node: CPU, CUDA (NVIDIA), CoreML (Apple), DirectML (Windows), WebGPU (with Dawn). */
export type OnnxDevice = 'cpu' | 'cuda' | 'coreml' | 'dml' | 'webgpu';

/** Options of {@link onnx}. */
export interface OnnxOptions {
  /**
   * The device. With a name, the backend uses this device or throws `backend-unavailable`. With a list, it uses the
   * first device that works and warns about the devices before it. `auto` uses CUDA if its libraries are installed,
   * otherwise the CPU.
   * @default 'auto'
   */
  readonly device?: 'auto' | OnnxDevice | readonly OnnxDevice[] | undefined;
  /**
   * The name of a file in `onnx/` without its extension, for example `model_quantized` or `model_fp16`.
   * @default `onnx/model.onnx` or `model.onnx` if the model has one; otherwise an ONNX file is recorded from its
   * safetensors
   */
  readonly variant?: string | undefined;
  /**
   * The number of sessions, each in a worker thread with its own weights.
   * @default one for each core within `memoryBudget`, one on a GPU. For texts that arrive one at a time there are up to
   * two additional sessions with a thread for each core: one in a worker thread, and one on the calling thread for
   * short texts
   */
  readonly sessions?: number | undefined;
  /**
   * The number of threads of each session.
   * @default the number of cores divided by the number of sessions
   */
  readonly threadsPerSession?: number | undefined;
  /**
   * The memory in bytes that all sessions together may use, estimated from the size of the weights. A model that needs
   * more than this budget and more than the memory of the machine is refused.
   * @default half of the memory that is available to this process
   */
  readonly memoryBudget?: number | undefined;
  /**
   * The target size of a batch in tokens (rows × length of the longest text).
   * @default 512 for each thread of a session; 16,384 on a GPU
   */
  readonly batchTokens?: number | undefined;
  /**
   * The folder in which recorded models are cached.
   * @default `cacheDirectory()` of `@sentvec/core/node`, which the environment variable `SENTVEC_CACHE` sets
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

/** @throws SentvecError `invalid-argument` for an invalid option */
export function checkOptions(options: OnnxOptions): void {
  checkOptionNames('onnx()', options, optionNames);
  for (const name of counts) {
    const value = options[name];
    if (value === undefined || (Number.isSafeInteger(value) && value > 0)) continue;
    throw new SentvecError('invalid-argument', `onnx({ ${name} }) must be a positive integer, not ${String(value)}.`);
  }
  const { device = 'auto' } = options;
  for (const name of typeof device === 'string' ? [device] : device) {
    if (name === 'auto' && name === device) continue;
    if (devices.includes(name as OnnxDevice)) continue;
    throw new SentvecError(
      'invalid-argument',
      `onnx({ device }) must be one of auto, ${devices.join(', ')}, not "${name}".`,
    );
  }
  if (device.length === 0)
    throw new SentvecError('invalid-argument', 'onnx({ device }) is an empty list. Set at least one device.');
}
