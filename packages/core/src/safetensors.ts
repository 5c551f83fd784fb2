export type { TensorType } from './safetensors/header.ts';
export { readWeights, type Weights } from './safetensors/weights.ts';
export { writeSafetensors, type WritableTensor } from './safetensors/write.ts';
