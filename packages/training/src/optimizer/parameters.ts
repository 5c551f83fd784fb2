// All trainable parameters, their gradients and moments, in flat buffers of one WebAssembly memory.
import { SentvecError } from '@sentvec/core';

/** A trainable tensor and its position in the flat buffer. */
export interface ParameterSlot {
  readonly name: string;
  readonly shape: readonly number[];
  /** Index of its first entry in the flat buffer, a multiple of 4. */
  readonly offset: number;
  /** Number of entries. */
  readonly size: number;
}

/** A trainable tensor with its initial values. */
export interface InitialParameter {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/**
 * Assigns each tensor its position in a flat buffer. Tensors are consecutive; each is padded with zeros to a multiple
 * of 4.
 */
export function slotsOf(tensors: readonly InitialParameter[]): ParameterSlot[] {
  let offset = 0;
  return tensors.map(({ name, shape, data }) => {
    const slot = { name, shape, offset, size: data.length };
    offset += paddedSize(data.length);
    return slot;
  });
}

function paddedSize(size: number): number {
  return Math.ceil(size / 4) * 4;
}

const pageBytes = 65_536;
const largestMemory = 4 * 2 ** 30;

/**
 * Four flat buffers of the same layout in one WebAssembly memory: weights, gradients, and the two moments of the
 * optimizer. The step graph reads weights and writes gradients in place, so nothing is copied, and the optimizer
 * updates all tensors in one pass. Each tensor is padded with zeros to a multiple of 4.
 */
export class Parameters {
  readonly slots: readonly ParameterSlot[];
  readonly memory: WebAssembly.Memory;
  /** Length of each of the four buffers, including padding. */
  readonly length: number;
  readonly weights: Float32Array;
  readonly gradients: Float32Array;
  readonly firstMoments: Float32Array;
  readonly secondMoments: Float32Array;

  /** @throws SentvecError `invalid-argument` when the four buffers do not fit into 4 GiB */
  constructor(initial: readonly InitialParameter[]) {
    this.slots = slotsOf(initial);
    const last = this.slots.at(-1);
    const length = last ? last.offset + paddedSize(last.size) : 0;
    this.length = length;
    const bytes = length * 4 * 4;
    if (bytes > largestMemory) {
      throw new SentvecError(
        'invalid-argument',
        `Training ${length} parameters needs ${bytes} bytes, but WebAssembly can address only 4 GiB. Freeze the embeddings or some layers.`,
      );
    }
    this.memory = new WebAssembly.Memory({ initial: Math.max(1, Math.ceil(bytes / pageBytes)) });
    const part = (index: number) => new Float32Array(this.memory.buffer, index * length * 4, length);
    [this.weights, this.gradients, this.firstMoments, this.secondMoments] = [part(0), part(1), part(2), part(3)];
    for (const [index, slot] of this.slots.entries()) this.weights.set(initial[index]!.data, slot.offset);
  }

  /** The entries of one tensor in one of the buffers, as a view. */
  view(buffer: Float32Array, slot: ParameterSlot): Float32Array {
    return buffer.subarray(slot.offset, slot.offset + slot.size);
  }
}
