/**
 * Lets each device compile a shader once, however often sessions ask for it. Browsers keep what real GPUs compile; the software
 * adapter's work is gone with the session that asked for it, and takes seconds.
 */
export function keepPipelines(): void {
  const sources = new WeakMap<GPUShaderModule, string>();
  const kept = new WeakMap<GPUDevice, Map<string, Promise<GPUComputePipeline>>>();
  // oxlint-disable-next-line typescript/unbound-method -- Called on its object below.
  const { createShaderModule, createComputePipelineAsync } = GPUDevice.prototype;
  GPUDevice.prototype.createShaderModule = function (descriptor): GPUShaderModule {
    const shader = createShaderModule.call(this, descriptor);
    sources.set(shader, descriptor.code);
    return shader;
  };
  // The layout follows from the shader: onnxruntime makes both of one list of buffers.
  GPUDevice.prototype.createComputePipelineAsync = function (descriptor): Promise<GPUComputePipeline> {
    const { module: shader, entryPoint, constants } = descriptor.compute;
    const pipelines = kept.get(this) ?? new Map<string, Promise<GPUComputePipeline>>();
    kept.set(this, pipelines);
    const key = JSON.stringify([sources.get(shader), entryPoint, constants]);
    const pipeline = pipelines.get(key) ?? createComputePipelineAsync.call(this, descriptor);
    pipelines.set(key, pipeline);
    return pipeline;
  };
}
