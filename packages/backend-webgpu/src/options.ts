import { SentvecError } from '@sentvec/core';

/** Options of {@link webgpu}. */
export interface WebGpuOptions {
  /**
   * The GPU device to compute on; it stays the caller's. Default: one that all encoders of the page share, with the
   * limits of the adapter, and with `shader-f16` where the adapter has it.
   */
  readonly device?: GPUDevice;
  /** Whether to use WebAssembly even when there is a GPU. Default false. */
  readonly preferWasm?: boolean;
  /**
   * Where onnxruntime-web's own files are: the address of a folder, or of both files, as a bundler gives them. Default:
   * beside the script. The page has one onnxruntime: what is given when the first model is loaded holds for all.
   */
  readonly wasmPaths?: string | { readonly wasm: string; readonly mjs: string };
  /**
   * Threads of WebAssembly. Default: one for each core, at most 8, when the page is cross-origin isolated; else 1.
   * Holds for the page.
   */
  readonly threads?: number;
  /**
   * A file under `onnx/`, without its ending: `model_fp16`, say. Default: `onnx/model.onnx` or `model.onnx` when the
   * model has one, else one is recorded from its safetensors. A `urlModel` has to be told of such a file, by its option
   * `files`.
   */
  readonly variant?: string;
  /**
   * Tokens (rows × longest) of a batch that the pipeline should aim at. Default: 4,096 on a GPU; 512 for each thread of
   * WebAssembly.
   */
  readonly batchTokens?: number;
}

/** @throws SentvecError `invalid-argument` when an option cannot be used */
export function checkOptions(options: WebGpuOptions): void {
  for (const name of ['threads', 'batchTokens'] as const) {
    const value = options[name];
    if (value === undefined || (Number.isSafeInteger(value) && value > 0)) continue;
    throw new SentvecError(
      'invalid-argument',
      `webgpu({ ${name} }) wants a whole number above 0, not ${String(value)}.`,
    );
  }
  if (options.device !== undefined && options.preferWasm === true) {
    throw new SentvecError(
      'invalid-argument',
      'webgpu() got a GPU device and preferWasm, which exclude each other. Leave one out.',
    );
  }
}
