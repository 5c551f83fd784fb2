// The tensor operations of an encoder, with the products and GELU on WebAssembly.
import {
  type MatrixProductOptions,
  type Operations,
  plainOperationsIn,
  type PlainTensor,
} from '@sentvec/architectures';
import { KernelSpace } from './kernel-space.ts';

/**
 * The operations over arrays of float32. Linear layers, batched products and GELU, where nearly all time is spent, are
 * computed by kernels of `@sentvec/kernels`; the others in TypeScript. No gradients.
 * @throws Error where WebAssembly may not be compiled, or has no 128-bit SIMD
 */
export function wasmOperations(): Operations<PlainTensor> {
  const space = new KernelSpace();
  const plain = plainOperationsIn(Float32Array);
  return {
    ...plain,
    constant(data, shape) {
      if (data instanceof Float32Array) space.keep(data);
      return plain.constant(data, shape);
    },
    linear(x, weight, bias) {
      const [cols, inner] = weight.shape as [number, number];
      const data = space.linear(floats(x), floats(weight), bias && floats(bias), { cols, inner });
      return { data, shape: [...x.shape.slice(0, -1), cols] };
    },
    matmul: (a, b, options = {}) => matmul(space, plain, a, b, options),
    gelu: (x) => ({ data: space.gelu(floats(x)), shape: x.shape }),
  };
}

const matmul = (
  space: KernelSpace,
  plain: Operations<PlainTensor>,
  a: PlainTensor,
  b: PlainTensor,
  options: MatrixProductOptions,
): PlainTensor => {
  const { transposeLeft = false, transposeRight = false } = options;
  const [rows, inner] = a.shape.slice(-2) as [number, number];
  const [right, left] = b.shape.slice(-2) as [number, number];
  const [cols, shared] = transposeRight ? [right, left] : [left, right];
  // Encoders do not transpose the left operand; shapes that do not fit are named by the interpreter in TypeScript.
  if (transposeLeft || shared !== inner || a.shape.slice(0, -2).join() !== b.shape.slice(0, -2).join())
    return plain.matmul(a, b, options);
  const count = a.data.length / (rows * inner);
  const data = space.products(floats(a), floats(b), { count, rows, cols, inner, transposeRight });
  return { data, shape: [...a.shape.slice(0, -1), cols] };
};

/** The entries as float32. A view of them, when they are. */
function floats({ data }: PlainTensor): Float32Array {
  return data instanceof Float32Array ? data : Float32Array.from(data);
}
