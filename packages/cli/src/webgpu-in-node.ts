import type { Backend } from '@sentvec/core';
import { SentvecError } from '@sentvec/platform';

/**
 * The WebGPU backend in Node: the execution provider of onnxruntime-node, which uses Dawn. Browsers use another
 * backend, `@sentvec/backend-webgpu`. A missing adapter is reported when a model is loaded.
 */
export async function webgpuInNode(): Promise<Backend> {
  const { onnx } = await import('@sentvec/backend-onnx');
  const backend = onnx({ device: 'webgpu' });
  return {
    ...backend,
    name: 'webgpu',
    load: async (model, options) => {
      try {
        return await backend.load(model, options);
      } catch (error) {
        if (!SentvecError.is(error, 'backend-unavailable')) throw error;
        throw new SentvecError('backend-unavailable', `${explain(error.message)} ${remedy}`, error.details, {
          cause: error,
        });
      }
    },
  };
}

const remedy =
  'In Node it needs a driver for Vulkan, Metal or Direct3D 12. In a page, @sentvec/backend-webgpu uses the GPU of the browser. Without a GPU, use --backend onnx.';

function explain(message: string): string {
  if (!message.includes('adapter')) return message;
  return 'WebGPU finds no adapter on this machine.';
}
