import { describe, expect, it } from 'vitest';
import { type LayerKernels, layerKernels } from '@sentvec/kernels';
import { layers, relaxedLayers } from '../src/binaries.ts';
import { compileKernels, instantiateKernels } from '../src/instantiate.ts';
import { withRelaxedSimd } from '../src/relaxed-simd.ts';
import { randomNumbers } from './random.ts';

/** Below, at and above the sizes of tiles, vectors and blocks. */
const sizes: readonly (readonly [rows: number, inner: number, cols: number])[] = [
  [1, 1, 1],
  [1, 7, 5],
  [2, 4, 4],
  [3, 3, 9],
  [5, 16, 1],
  [7, 33, 6],
  [65, 19, 10],
  [130, 12, 4],
];

/** Puts arrays one after the other into a memory, with space for a result at the end. */
function place(memory: WebAssembly.Memory, ...arrays: readonly Float32Array[]): number[] {
  let address = 64;
  const addresses = arrays.map((data) => {
    new Float32Array(memory.buffer, address, data.length).set(data);
    address += data.byteLength;
    return address - data.byteLength;
  });
  return [...addresses, address];
}

/** The largest difference of a result from what it should be; `Infinity` when they have different lengths. */
function largestGap(found: Float32Array, expected: readonly number[]): number {
  if (found.length !== expected.length) return Infinity;
  return Math.max(...expected.map((value, i) => Math.abs(value - found[i]!)));
}

describe.each([
  ['SIMD', layers],
  ['relaxed SIMD', relaxedLayers],
])('the module for engines with %s', (feature, binary) => {
  const bytes = Uint8Array.from(Buffer.from(binary, 'base64'));
  const runs = withRelaxedSimd(() => WebAssembly.validate(bytes));

  it.skipIf(!runs)(`multiplies (skipped where the engine of Node has no ${feature})`, () => {
    const memory = new WebAssembly.Memory({ initial: 4 });
    const module = withRelaxedSimd(() => compileKernels(binary));
    const kernels = instantiateKernels(module, memory) as LayerKernels;
    for (const [rows, inner, cols] of sizes) {
      const [a, b, bias] = [randomNumbers(rows * inner, 20), randomNumbers(cols * inner, 21), randomNumbers(cols, 22)];
      const [atA, atB, atBias, target] = place(memory, a, b, bias) as [number, number, number, number];
      const expected = Array.from({ length: rows * cols }, (_, i) => {
        const [row, col] = [Math.floor(i / cols), i % cols];
        let sum = bias[col]!;
        for (let k = 0; k < inner; k += 1) sum += a[row * inner + k]! * b[col * inner + k]!;
        return sum;
      });
      const result = new Float32Array(memory.buffer, target, rows * cols);
      kernels.matrixProduct(atA, atB, target, atBias, rows, cols, inner);
      expect(largestGap(result, expected)).toBeLessThan(1e-5);
      kernels.matrixProduct(atA, atB, target, 0, rows, cols, inner);
      const withoutBias = expected.map((value, i) => value - bias[i % cols]!);
      expect(largestGap(result, withoutBias)).toBeLessThan(1e-5);
    }
  });
});

describe('the kernels of layers', () => {
  const memory = new WebAssembly.Memory({ initial: 4 });
  const kernels = layerKernels(memory);

  it.each(sizes)('transpose and normalize matrices of %i rows and %i columns', (rows, cols) => {
    const [x, weight, bias] = [randomNumbers(rows * cols, 1), randomNumbers(cols, 2), randomNumbers(cols, 3)];
    const [from, atWeight, atBias, to] = place(memory, x, weight, bias) as [number, number, number, number];
    const result = new Float32Array(memory.buffer, to, rows * cols);
    kernels.transpose(from, to, rows, cols);
    expect([...result]).toEqual(Array.from(result, (_, i) => x[(i % rows) * cols + Math.floor(i / rows)]!));
    kernels.layerNorm(from, to, atWeight, atBias, rows, cols, 1e-5);
    const expected = Array.from({ length: rows }, (_, row) => {
      const entries = [...x.subarray(row * cols, (row + 1) * cols)];
      const mean = entries.reduce((a, b) => a + b, 0) / cols;
      const deviation = Math.sqrt(entries.reduce((sum, entry) => sum + (entry - mean) ** 2, 0) / cols + 1e-5);
      return entries.map((entry, i) => ((entry - mean) / deviation) * weight[i]! + bias[i]!);
    });
    expect(largestGap(result, expected.flat())).toBeLessThan(2e-5);
  });

  // Abramowitz and Stegun, table 7.1.
  const values = [
    [0, 0],
    [0.5, 0.5204998778],
    [1, 0.8427007929],
    [2, 0.995322265],
    [-1, -0.8427007929],
    [9, 1],
    [-1e4, -1],
  ] as const;

  it.each([1, 4, 7])('the error function and GELU, of %i numbers at once', (count) => {
    for (const [x, erf] of values) {
      const [from, to] = place(memory, new Float32Array(count).fill(x)) as [number, number];
      const result = new Float32Array(memory.buffer, to, count);
      kernels.erf(from, to, count);
      expect(largestGap(result, Array(count).fill(erf))).toBeLessThan(1e-6);
      const scaled = Math.fround(x * Math.SQRT2);
      new Float32Array(memory.buffer, from, count).fill(scaled);
      kernels.gelu(from, to, count);
      const expected = (scaled * (1 + erf)) / 2;
      expect(largestGap(result, Array(count).fill(expected))).toBeLessThan(1e-6 * (1 + Math.abs(scaled)));
    }
  });
});
