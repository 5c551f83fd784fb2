export { webgpu } from './backend.ts';
export type { WebGpuOptions } from './options.ts';
