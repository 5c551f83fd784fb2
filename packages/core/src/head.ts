// An entry of its own with few imports: worker threads load it, which need nothing else of this package.
export { createPooling, termWeightsOutput, tokenPooling } from './pooling/pooling.ts';
export { applyProjections } from './projection/projection.ts';
export { float16ToFloat32 } from './weights/numbers.ts';
