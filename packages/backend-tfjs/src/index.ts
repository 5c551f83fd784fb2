export { tfjs } from './backend.ts';
export type { WasmPaths } from './kernels/wasm-backend.ts';
export { tfjsOperations } from './operations/operations.ts';
export type { TfjsDevice, TfjsOptions } from './options.ts';
export { openRuntime, type Runtime } from './runtime.ts';
export type { TensorFlow, TfTensor } from './tensor-flow.ts';
