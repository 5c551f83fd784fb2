export { tfjsOperations } from './operations/operations.ts';
export { registerWasmBackend, wasmBackend } from './kernels/wasm-backend.ts';
export type { TensorFlow, TfTensor } from './tensor-flow.ts';
