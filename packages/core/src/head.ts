// A package entry with few imports, for worker threads, which need nothing else from this package.
export { createPooling, termWeightsOutput, tokenPooling } from './pooling/pooling.ts';
export { applyProjections } from './projection/projection.ts';
export { float16ToFloat32 } from './weights/numbers.ts';
