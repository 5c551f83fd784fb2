import { env } from 'onnxruntime-web/webgpu';
import type { WebGpuOptions } from './options.ts';

/** More threads than this wait for each other more than they compute, on models of the size that pages load. */
const maxThreads = 8;

let prepared = false;

/** Sets up the page's onnxruntime, at the first call. What is set later has no effect on it. */
export function prepareRuntime({ wasmPaths, threads }: WebGpuOptions): void {
  if (prepared) return;
  prepared = true;
  if (wasmPaths !== undefined) env.wasm.wasmPaths = wasmPaths;
  env.wasm.numThreads = threads ?? possibleThreads();
  // Errors are thrown; what onnxruntime prints besides is of use to its developers only.
  env.logLevel = 'error';
}

/** Threads that WebAssembly computes with. */
export function wasmThreads(): number {
  return env.wasm.numThreads ?? 1;
}

/** Threads share memory, which browsers allow to isolated pages only. */
function possibleThreads(): number {
  if (!globalThis.crossOriginIsolated) return 1;
  return Math.max(1, Math.min(maxThreads, navigator.hardwareConcurrency));
}
