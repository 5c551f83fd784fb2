import type { Backend } from '@sentvec/core';
import { SentvecError } from '@sentvec/platform';

/**
 * WebGPU in Node: the provider of onnxruntime-node, which is Dawn. Browsers have another backend for it,
 * `@sentvec/backend-webgpu`. That there is no adapter shows when a model is loaded.
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
  'In Node it takes a driver for Vulkan, Metal or Direct3D 12. In a page, @sentvec/backend-webgpu uses the GPU of the browser. Here, --backend onnx needs none.';

function explain(message: string): string {
  if (!message.includes('adapter')) return message;
  return 'WebGPU finds no adapter on this machine.';
}
