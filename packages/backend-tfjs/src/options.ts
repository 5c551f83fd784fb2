import { SentvecError } from '@sentvec/core';
import { checkOptionNames, type OptionNames } from '@sentvec/platform';
import type { WasmPaths } from './kernels/wasm-backend.ts';

/** What TensorFlow.js can run on: two native libraries for Node, WebAssembly, plain JavaScript. */
export type TfjsDevice = 'tfjs-node-gpu' | 'tfjs-node' | 'wasm' | 'cpu';

/** Options of {@link tfjs}. */
export interface TfjsOptions {
  /**
   * What to run on. A name: that device, or the error `backend-unavailable`. `auto`: `@tensorflow/tfjs-node-gpu` where
   * it is installed with its native half, else `@tensorflow/tfjs-node`, else WebAssembly. `cpu`, some 50 times slower,
   * is used only when it is named.
   * @default 'auto'
   */
  readonly device?: 'auto' | TfjsDevice | undefined;
  /**
   * Where a page finds the files of `@tensorflow/tfjs-backend-wasm`. Node finds them itself.
   * @default beside the script
   */
  readonly wasmPaths?: WasmPaths | undefined;
  /**
   * Tokens (rows × longest) of a batch that the pipeline should aim at.
   * @default 512; 8192 with a native library
   */
  readonly batchTokens?: number | undefined;
}

/** What `auto` tries, in order. */
export const automaticDevices: readonly TfjsDevice[] = ['tfjs-node-gpu', 'tfjs-node', 'wasm'];

const devices: readonly TfjsDevice[] = ['tfjs-node-gpu', 'tfjs-node', 'wasm', 'cpu'];

const optionNames: OptionNames<TfjsOptions> = { device: true, wasmPaths: true, batchTokens: true };

/** @throws SentvecError `invalid-argument` when an option cannot be used */
export function checkOptions(options: TfjsOptions): void {
  checkOptionNames('tfjs()', options, optionNames);
  const { device = 'auto', batchTokens } = options;
  if (device !== 'auto' && !devices.includes(device)) {
    throw new SentvecError(
      'invalid-argument',
      `tfjs({ device }) knows no "${device}". It knows auto, ${devices.join(', ')}.`,
    );
  }
  if (batchTokens !== undefined && !(Number.isSafeInteger(batchTokens) && batchTokens > 0)) {
    throw new SentvecError(
      'invalid-argument',
      `tfjs({ batchTokens }) must be a whole number above 0, not ${String(batchTokens)}.`,
    );
  }
}

/** Whether a device is a native library: a process can load only one copy of it. */
export function isNative(device: TfjsDevice): boolean {
  return device === 'tfjs-node-gpu' || device === 'tfjs-node';
}
