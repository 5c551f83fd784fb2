export * from './errors.ts';
export type * from './types.ts';
export * from './safetensors.ts';
export { createPooling, poolingModes } from './pooling.ts';
export { definePooling, resolvePooling, type PoolingChoice, type PoolingFunctions, type PoolingPlugin } from './pooling-plugin.ts';
