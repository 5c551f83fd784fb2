/** Why there is no GPU to compute on, in a sentence. */
export interface NoDevice {
  readonly reason: string;
}

/** What onnxruntime and the kernels make use of, when the adapter has it. */
const usefulFeatures: readonly GPUFeatureName[] = ['shader-f16', 'subgroups'];
const usefulLimits = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
  'maxComputeWorkgroupSizeY',
  'maxComputeWorkgroupSizeZ',
  'maxComputeWorkgroupsPerDimension',
] as const satisfies readonly (keyof GPUSupportedLimits)[];

let shared: Promise<GPUDevice | NoDevice> | undefined;

/** The device that the encoders of this page share. Asked for once, and again after it was lost. */
export function sharedDevice(): Promise<GPUDevice | NoDevice> {
  shared ??= openDevice().then((device) => {
    if ('reason' in device) shared = undefined;
    else void device.lost.then(() => (shared = undefined));
    return device;
  });
  return shared;
}

/** How a person would name what a device computes on. */
export function describeDevice({ adapterInfo }: GPUDevice): string {
  const { vendor, architecture, device, description } = adapterInfo;
  const name = description || [vendor, architecture, device].filter((part) => part !== '').join(' ');
  return name === '' ? 'WebGPU' : `WebGPU (${name})`;
}

async function openDevice(): Promise<GPUDevice | NoDevice> {
  // Typed as always there, but browsers without WebGPU, insecure pages and Node have none.
  const gpu = (globalThis.navigator as Partial<Navigator> | undefined)?.gpu;
  if (gpu === undefined) {
    return {
      reason:
        'There is no WebGPU here: it takes a browser that has it, and a page that was served by https or from localhost.',
    };
  }
  try {
    const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
    if (adapter === null)
      return { reason: 'WebGPU offers no adapter: the browser does not know this GPU, or blocks its driver.' };
    return await adapter.requestDevice({
      requiredFeatures: usefulFeatures.filter((feature) => adapter.features.has(feature)),
      requiredLimits: Object.fromEntries(usefulLimits.map((name) => [name, adapter.limits[name]])),
    });
  } catch (error) {
    return { reason: `WebGPU gives no device: ${error instanceof Error ? error.message : String(error)}` };
  }
}
