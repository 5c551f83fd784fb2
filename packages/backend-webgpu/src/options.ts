// What a page can choose about `webgpu()`, with the defaults, and the check of those choices.
import { SentvecError } from '@sentvec/core';
import { checkOptionNames, type OptionNames } from '@sentvec/platform';

/** Options of {@link webgpu}. */
export interface WebGpuOptions {
  /**
   * The GPU device to compute on; it stays the caller's.
   * @default one that all encoders of the page share, with the limits of the adapter, and `shader-f16` where it has that
   */
  readonly device?: GPUDevice | undefined;
  /**
   * Whether to use WebAssembly even when there is a GPU.
   * @default false
   */
  readonly preferWasm?: boolean | undefined;
  /**
   * Where onnxruntime-web's own files are: the address of a folder, or of both files, as a bundler gives them. The page
   * has one onnxruntime: the value at the first load holds for all.
   * @default beside the script
   */
  readonly wasmPaths?: string | { readonly wasm: string; readonly mjs: string } | undefined;
  /**
   * Threads of WebAssembly. The value at the first load holds for the page.
   * @default one for each core, at most 8, when the page is cross-origin isolated; else 1
   */
  readonly threads?: number | undefined;
  /**
   * A file under `onnx/`, without its ending, such as `model_fp16`. A `urlModel` has to list it in its option `files`.
   * @default `onnx/model.onnx` or `model.onnx` when the model has one, else one is recorded from its safetensors
   */
  readonly variant?: string | undefined;
  /**
   * Tokens (rows × longest) of a batch that the pipeline should aim at.
   * @default 4096 on a GPU; 512 for each thread of WebAssembly
   */
  readonly batchTokens?: number | undefined;
}

const optionNames: OptionNames<WebGpuOptions> = {
  device: true,
  preferWasm: true,
  wasmPaths: true,
  threads: true,
  variant: true,
  batchTokens: true,
};

/** @throws SentvecError `invalid-argument` when an option cannot be used */
export function checkOptions(options: WebGpuOptions): void {
  checkOptionNames('webgpu()', options, optionNames);
  for (const name of ['threads', 'batchTokens'] as const) {
    const value = options[name];
    if (value === undefined || (Number.isSafeInteger(value) && value > 0)) continue;
    throw new SentvecError(
      'invalid-argument',
      `webgpu({ ${name} }) must be a whole number above 0, not ${String(value)}.`,
    );
  }
  if (options.device !== undefined && options.preferWasm === true) {
    throw new SentvecError(
      'invalid-argument',
      'webgpu() got a GPU device and preferWasm, which exclude each other. Leave one out.',
    );
  }
}
