/**
 * Lets each device translate and compile a shader once, however often sessions ask for it. Browsers cache what they
 * compile for real GPUs. For the software adapter they do not, and it compiles slowly.
 */
export function cachePipelines(): void {
  const shaders = new WeakMap<GPUDevice, Map<string, GPUShaderModule>>();
  const pipelines = new WeakMap<GPUShaderModule, Map<string, Promise<GPUComputePipeline>>>();
  // oxlint-disable-next-line typescript/unbound-method -- Called on its object below.
  const { createShaderModule, createComputePipelineAsync } = GPUDevice.prototype;
  GPUDevice.prototype.createShaderModule = function (descriptor): GPUShaderModule {
    const ofDevice = shaders.get(this) ?? new Map<string, GPUShaderModule>();
    shaders.set(this, ofDevice);
    return cached(ofDevice, descriptor.code, () => createShaderModule.call(this, descriptor));
  };
  // The layout follows from the shader: onnxruntime makes both of one list of buffers.
  GPUDevice.prototype.createComputePipelineAsync = function (descriptor): Promise<GPUComputePipeline> {
    const { module: shader, entryPoint, constants } = descriptor.compute;
    const ofShader = pipelines.get(shader) ?? new Map<string, Promise<GPUComputePipeline>>();
    pipelines.set(shader, ofShader);
    return cached(ofShader, JSON.stringify([entryPoint, constants]), () =>
      createComputePipelineAsync.call(this, descriptor),
    );
  };
}

function cached<T>(store: Map<string, T>, key: string, make: () => T): T {
  const found = store.get(key) ?? make();
  store.set(key, found);
  return found;
}
