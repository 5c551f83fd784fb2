// The scores in plain TypeScript, for where WebAssembly may not be compiled (a strict content security policy, some edge
// runtimes). Sums run in four lanes of float32, as in the kernels, so that the bits agree.
import type { ScoreFunction, ScoreFunctions, ScoreRuntime } from './score-functions.ts';

/** Compares the vectors at two positions of an array: `length` entries each. */
type Compare<Entries> = (entries: Entries, x: number, y: number, length: number) => number;

/** The functions over a memory of their own. */
export const portableScores: ScoreRuntime = (bytes) => {
  const buffer = new ArrayBuffer(bytes);
  return { buffer, functions: functionsOver(buffer) };
};

function functionsOver(memory: ArrayBuffer): ScoreFunctions {
  const floats = new Float32Array(memory);
  const integers = new Int32Array(memory);
  return {
    dot: everyPair(floats, floats, dot),
    'squared-distance': everyPair(floats, floats, squaredDistance),
    'absolute-distance': everyPair(floats, floats, absoluteDistance),
    'dot-int8': everyPair(new Int8Array(memory), integers, integerDot),
    'dot-uint8': everyPair(new Uint8Array(memory), integers, integerDot),
    hamming: everyPair(integers, integers, differingBits),
  };
}

function everyPair<Entries extends { readonly BYTES_PER_ELEMENT: number }>(
  entries: Entries,
  results: Float32Array | Int32Array,
  compare: Compare<Entries>,
): ScoreFunction {
  const size = entries.BYTES_PER_ELEMENT;
  return (queries, rows, scores, stride, queryCount, rowCount) => {
    let result = scores / 4;
    for (let query = 0; query < queryCount; query++) {
      const x = (queries + query * stride) / size;
      for (let row = 0; row < rowCount; row++)
        results[result++] = compare(entries, x, (rows + row * stride) / size, stride / size);
    }
  };
}

const { fround } = Math;

function addLanes(a: number, b: number, c: number, d: number): number {
  return fround(fround(a + b) + fround(c + d));
}

function dot(entries: Float32Array, x: number, y: number, length: number): number {
  let [a, b, c, d] = [0, 0, 0, 0];
  for (const end = x + length; x < end; x += 4, y += 4) {
    a = fround(a + fround(entries[x]! * entries[y]!));
    b = fround(b + fround(entries[x + 1]! * entries[y + 1]!));
    c = fround(c + fround(entries[x + 2]! * entries[y + 2]!));
    d = fround(d + fround(entries[x + 3]! * entries[y + 3]!));
  }
  return addLanes(a, b, c, d);
}

function squaredDistance(entries: Float32Array, x: number, y: number, length: number): number {
  let [a, b, c, d] = [0, 0, 0, 0];
  for (const end = x + length; x < end; x += 4, y += 4) {
    a = fround(a + fround(fround(entries[x]! - entries[y]!) ** 2));
    b = fround(b + fround(fround(entries[x + 1]! - entries[y + 1]!) ** 2));
    c = fround(c + fround(fround(entries[x + 2]! - entries[y + 2]!) ** 2));
    d = fround(d + fround(fround(entries[x + 3]! - entries[y + 3]!) ** 2));
  }
  return addLanes(a, b, c, d);
}

function absoluteDistance(entries: Float32Array, x: number, y: number, length: number): number {
  let [a, b, c, d] = [0, 0, 0, 0];
  for (const end = x + length; x < end; x += 4, y += 4) {
    a = fround(a + Math.abs(fround(entries[x]! - entries[y]!)));
    b = fround(b + Math.abs(fround(entries[x + 1]! - entries[y + 1]!)));
    c = fround(c + Math.abs(fround(entries[x + 2]! - entries[y + 2]!)));
    d = fround(d + Math.abs(fround(entries[x + 3]! - entries[y + 3]!)));
  }
  return addLanes(a, b, c, d);
}

function integerDot(entries: Int8Array | Uint8Array, x: number, y: number, length: number): number {
  let sum = 0;
  for (let i = 0; i < length; i++) sum += entries[x + i]! * entries[y + i]!;
  return sum;
}

/** Counts bits in parallel, in fields that grow from 2 to 8 bits (H. Warren, Hacker's Delight, chapter 5). */
function differingBits(entries: Int32Array, x: number, y: number, length: number): number {
  let sum = 0;
  for (let i = 0; i < length; i++) {
    let bits = entries[x + i]! ^ entries[y + i]!;
    bits -= (bits >>> 1) & 0x55555555;
    bits = (bits & 0x33333333) + ((bits >>> 2) & 0x33333333);
    sum += Math.imul((bits + (bits >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
  }
  return sum;
}
