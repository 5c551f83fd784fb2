import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import type { KernelFunc, TensorInfo } from '@tensorflow/tfjs-core';
import { addressOf, kernelsOf, sizeOf } from './kernel-module.ts';

/**
 * Names of kernels that TensorFlow.js does not have. Where a backend has them, operations use one of them instead of
 * several others.
 */
export const layerNormKernel = 'SentvecLayerNorm';
export const geluKernel = 'SentvecGelu';

/** Inputs `x`, `weight`, `bias`; attribute `epsilon`. */
export const layerNorm: KernelFunc = ({ inputs, attrs, backend: given }) => {
  const backend = given as BackendWasm;
  const { x, weight, bias } = inputs as { x: TensorInfo; weight: TensorInfo; bias: TensorInfo };
  const { epsilon } = attrs as { epsilon: number };
  const out = backend.makeOutput(x.shape, 'float32');
  const [from, to, by, plus] = [x, out, weight, bias].map((tensor) => addressOf(backend, tensor)) as [
    number,
    number,
    number,
    number,
  ];
  const width = sizeOf(weight);
  kernelsOf(backend).layerNorm(from, to, by, plus, sizeOf(x) / width, width, epsilon);
  return out;
};

/** Input `x`. */
export const gelu: KernelFunc = entryByEntry('gelu');

/** The kernel `Erf`, in vectors. */
export const erf: KernelFunc = entryByEntry('erf');

function entryByEntry(name: 'erf' | 'gelu'): KernelFunc {
  return ({ inputs, backend: given }) => {
    const backend = given as BackendWasm;
    const { x } = inputs as { x: TensorInfo };
    const out = backend.makeOutput(x.shape, 'float32');
    kernelsOf(backend)[name](addressOf(backend, x), addressOf(backend, out), sizeOf(x));
    return out;
  };
}
