// Pooling and projections on a GPU.
import { projectionOutputSize, type Head, type Matrix, type PoolingMode } from '@sentvec/core';
import { packSizes, workgroupsFor, type Kernel, type KernelSizes } from './kernel.ts';
import { poolingKernels } from './pooling-kernels.ts';
import { projectionKernel } from './projection-kernels.ts';

/** The flags of WebGPU that are used here; the specification fixes their values (`GPUBufferUsage`, `GPUMapMode`). */
export const bufferUsage = { mapRead: 1, copySource: 4, copyDestination: 8, uniform: 64, storage: 128 } as const;
const mapForReading = 1;

/** Token embeddings in a buffer of the device, which may be longer than they are. */
export interface DeviceTokens {
  readonly buffer: GPUBuffer;
  readonly rows: number;
  readonly cols: number;
}

/** A step of a head: from vectors of `inputSize` to vectors of `outputSize`. */
interface ProjectionStep {
  readonly kernel: Kernel;
  readonly constants: readonly GPUBuffer[];
  readonly inputSize: number;
  readonly outputSize: number;
}

/** Buffers and pipelines of heads on one device. */
export class DeviceHeads {
  readonly #device: GPUDevice;
  readonly #pipelines = new Map<string, GPUComputePipeline>();
  readonly #heads = new Map<Head, DeviceHead | undefined>();

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  /**
   * The head on the device; `undefined` when a part of it only runs on the host: a custom pooling, a
   * residual, or a rare activation.
   */
  get(head: Head, hiddenSize: number): DeviceHead | undefined {
    if (!this.#heads.has(head)) this.#heads.set(head, this.#prepare(head, hiddenSize));
    return this.#heads.get(head);
  }

  dispose(): void {
    for (const head of this.#heads.values()) head?.dispose();
    this.#heads.clear();
  }

  #prepare(head: Head, hiddenSize: number): DeviceHead | undefined {
    const { modes } = head.pooling;
    const kernels = head.projections.map(projectionKernel);
    if (modes === undefined || kernels.includes(undefined)) return undefined;
    let size = modes.length * hiddenSize;
    const steps = head.projections.map((projection, index): ProjectionStep => {
      const inputSize = size;
      size = projectionOutputSize(projection, size);
      const { kernel, constants } = kernels[index]!;
      return {
        kernel,
        constants: constants.map((values) => upload(this.#device, values)),
        inputSize,
        outputSize: size,
      };
    });
    return new DeviceHead(this.#device, (kernel) => this.#pipeline(kernel), modes, steps, hiddenSize);
  }

  #pipeline({ name, code }: Kernel): GPUComputePipeline {
    const known = this.#pipelines.get(name);
    if (known !== undefined) return known;
    const module = this.#device.createShaderModule({ label: name, code });
    const pipeline = this.#device.createComputePipeline({
      label: name,
      layout: 'auto',
      compute: { module, entryPoint: 'main' },
    });
    this.#pipelines.set(name, pipeline);
    return pipeline;
  }
}

/** A pooling and projections on a device. Only the final vectors leave it. */
export class DeviceHead {
  readonly #device: GPUDevice;
  readonly #pipeline: (kernel: Kernel) => GPUComputePipeline;
  readonly #modes: readonly PoolingMode[];
  readonly #steps: readonly ProjectionStep[];
  readonly #hiddenSize: number;

  constructor(
    device: GPUDevice,
    pipeline: (kernel: Kernel) => GPUComputePipeline,
    modes: readonly PoolingMode[],
    steps: readonly ProjectionStep[],
    hiddenSize: number,
  ) {
    this.#device = device;
    this.#pipeline = pipeline;
    this.#modes = modes;
    this.#steps = steps;
    this.#hiddenSize = hiddenSize;
  }

  /**
   * Submits the work to the device. The tokens may be freed when this returns: a device works in order of submission.
   * @param mask rows × cols: the tokens that take part
   * @returns a function that waits for the vectors
   */
  submit(tokens: DeviceTokens, mask: Int32Array): () => Promise<Matrix> {
    const { rows, cols } = tokens;
    const size = this.#hiddenSize;
    const temporaries: GPUBuffer[] = [];
    const temporary = (buffer: GPUBuffer): GPUBuffer => {
      temporaries.push(buffer);
      return buffer;
    };
    const commands = this.#device.createCommandEncoder();
    // onnxruntime's buffers are larger than their contents, so the size is given here.
    const inputs = [
      { buffer: tokens.buffer, size: rows * cols * size * 4 },
      { buffer: temporary(upload(this.#device, mask)) },
    ];
    let width = this.#modes.length * size;
    let vectors = temporary(this.#result(rows * width));
    for (const [index, mode] of this.#modes.entries()) {
      const sizes = { rows, columns: size, length: cols, width: size, stride: width, offset: index * size };
      this.#dispatch(commands, poolingKernels[mode], sizes, inputs, vectors, temporary);
    }
    for (const { kernel, constants, inputSize, outputSize } of this.#steps) {
      const next = temporary(this.#result(rows * outputSize));
      const sizes = { rows, columns: outputSize, length: cols, width: inputSize, stride: outputSize, offset: 0 };
      const sources = [vectors, ...constants].map((buffer) => ({ buffer }));
      this.#dispatch(commands, kernel, sizes, sources, next, temporary);
      [vectors, width] = [next, outputSize];
    }
    const readback = temporary(
      this.#device.createBuffer({ size: rows * width * 4, usage: bufferUsage.copyDestination | bufferUsage.mapRead }),
    );
    commands.copyBufferToBuffer(vectors, 0, readback, 0, rows * width * 4);
    this.#device.queue.submit([commands.finish()]);
    return async () => {
      try {
        await readback.mapAsync(mapForReading);
        return { data: new Float32Array(readback.getMappedRange().slice(0)), rows, cols: width };
      } finally {
        for (const buffer of temporaries) buffer.destroy();
      }
    };
  }

  dispose(): void {
    for (const { constants } of this.#steps) for (const buffer of constants) buffer.destroy();
  }

  #result(count: number): GPUBuffer {
    return this.#device.createBuffer({ size: count * 4, usage: bufferUsage.storage | bufferUsage.copySource });
  }

  #dispatch(
    commands: GPUCommandEncoder,
    kernel: Kernel,
    sizes: KernelSizes,
    inputs: readonly GPUBufferBinding[],
    output: GPUBuffer,
    temporary: (buffer: GPUBuffer) => GPUBuffer,
  ): void {
    const pipeline = this.#pipeline(kernel);
    const uniform = temporary(upload(this.#device, packSizes(sizes), bufferUsage.uniform));
    const resources = [{ buffer: uniform }, ...inputs, { buffer: output }];
    const bindings = this.#device.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: resources.map((resource, binding) => ({ binding, resource })),
    });
    const pass = commands.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, bindings);
    pass.dispatchWorkgroups(...workgroupsFor(sizes.rows * sizes.columns));
    pass.end();
  }
}

function upload(
  device: GPUDevice,
  values: Float32Array | Int32Array | Uint32Array,
  usage: number = bufferUsage.storage,
): GPUBuffer {
  const buffer = device.createBuffer({
    size: values.byteLength,
    usage: usage | bufferUsage.copyDestination,
    mappedAtCreation: true,
  });
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  new Uint8Array(buffer.getMappedRange()).set(bytes);
  buffer.unmap();
  return buffer;
}
