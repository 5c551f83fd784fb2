export { presentDevices } from './devices.ts';
export { onnx } from './backend.ts';
export type { OnnxDevice, OnnxOptions } from './options.ts';
