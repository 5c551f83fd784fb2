// Compute shaders that compute one number of a result in each invocation.
/** A compute shader: its WGSL, and in what order its buffers are bound. */
export interface Kernel {
  readonly name: string;
  readonly code: string;
}

/** The sizes that a kernel reads. */
export interface KernelSizes {
  /** Texts. */
  readonly rows: number;
  /** Entries that it computes for each text. */
  readonly columns: number;
  /** Tokens of each text. */
  readonly length: number;
  /** Entries of an input vector. */
  readonly width: number;
  /** Entries of an output vector. The kernel computes those from `offset` on. */
  readonly stride: number;
  readonly offset: number;
}

/** The sizes in the order in which kernels read them. */
export function packSizes({ rows, columns, length, width, stride, offset }: KernelSizes): Uint32Array {
  return Uint32Array.of(rows, columns, length, width, stride, offset);
}

/** Invocations of a workgroup; every WebGPU device has as many. */
export const workgroupSize = 64;

/** The most workgroups that a dispatch may have along an axis, on every WebGPU device. */
const maxWorkgroups = 65_535;

/**
 * A kernel over one number of the result for each invocation. Bound are the sizes, the inputs in order, and the output;
 * `body` computes `result` for the entry `column` of the text `row`.
 */
export function elementKernel(
  name: string,
  inputs: Readonly<Record<string, 'f32' | 'u32'>>,
  functions: string,
  body: string,
): Kernel {
  const bindings = Object.entries(inputs).map(
    ([input, type], index) => `@group(0) @binding(${index + 1}) var<storage, read> ${input}: array<${type}>;`,
  );
  return {
    name,
    code: `
      struct Sizes { rows: u32, columns: u32, length: u32, width: u32, stride: u32, offset: u32 }
      @group(0) @binding(0) var<uniform> sizes: Sizes;
      ${bindings.join('\n')}
      @group(0) @binding(${bindings.length + 1}) var<storage, read_write> output: array<f32>;
      ${functions}
      @compute @workgroup_size(${workgroupSize})
      fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
        let index = id.y * groups.x * ${workgroupSize}u + id.x;
        if (index >= sizes.rows * sizes.columns) { return; }
        let row = index / sizes.columns;
        let column = index % sizes.columns;
        var result = 0.0;
        ${body}
        output[row * sizes.stride + sizes.offset + column] = result;
      }`,
  };
}

/** Workgroups along both axes for so many invocations. */
export function workgroupsFor(invocations: number): readonly [number, number] {
  const groups = Math.ceil(invocations / workgroupSize);
  const x = Math.min(groups, maxWorkgroups);
  return [x, Math.ceil(groups / x)];
}
