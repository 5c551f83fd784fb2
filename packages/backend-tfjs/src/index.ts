export { reasonUnavailable } from '#host';
export { tfjs } from './backend.ts';
export type { WasmPaths } from './kernels/wasm-backend.ts';
export { tfjsOperations } from './operations/operations.ts';
export { automaticDevices, type TfjsDevice, type TfjsOptions } from './options.ts';
export { onBackend, openRuntime, type Runtime } from './runtime.ts';
export type { TensorFlow, TfTensor } from './tensor-flow.ts';
