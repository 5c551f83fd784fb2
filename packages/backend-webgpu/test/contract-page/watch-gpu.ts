import { InferenceSession, type Tensor } from 'onnxruntime-web/webgpu';

/** What happened on the GPU. */
export interface GpuReport {
  /** Bytes of all buffers that were mapped for reading, the only way in which numbers come back from a GPU. */
  readonly bytesRead: number;
  /** Where sessions left their outputs. */
  readonly outputLocations: readonly string[];
}

/** The flag of WebGPU's specification (`GPUMapMode.READ`). */
const read = 1;

let bytesRead = 0;
let outputLocations = new Set<string>();

/** Watches everything that this page does on GPUs from now on. */
export function watchGpu(): void {
  watchRuns();
  if (!('GPUBuffer' in globalThis)) return;
  // oxlint-disable-next-line typescript/unbound-method -- Called on its object below.
  const { mapAsync } = GPUBuffer.prototype;
  Object.assign(GPUBuffer.prototype, {
    mapAsync(this: GPUBuffer, mode: number, offset = 0, size = this.size - offset) {
      if ((mode & read) !== 0) bytesRead += size;
      return mapAsync.call(this, mode, offset, size);
    },
  });
}

function watchRuns(): void {
  // Its types know only how to create one.
  const { prototype } = InferenceSession as unknown as {
    prototype: { run: (...inputs: unknown[]) => Promise<Record<string, Tensor>> };
  };
  const { run } = prototype;
  prototype.run = async function (...inputs): Promise<Record<string, Tensor>> {
    const outputs = await run.apply(this, inputs);
    for (const { location } of Object.values(outputs)) outputLocations.add(location);
    return outputs;
  };
}

/** What happened since the last report. */
export function reportGpu(): GpuReport {
  const report = { bytesRead, outputLocations: [...outputLocations] };
  bytesRead = 0;
  outputLocations = new Set();
  return report;
}
