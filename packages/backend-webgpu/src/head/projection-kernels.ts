// The projections of a head as compute shaders.
import type { Activation, Projection } from '@sentvec/core';
import { elementKernel, type Kernel } from './kernel.ts';

/** Activations of one number, in WGSL, as `torch.nn` defines them. Those that are missing here are left to the host. */
const activations: Partial<Readonly<Record<Activation, string>>> = {
  Identity: 'return x;',
  // The built-in function overflows for large numbers on some drivers.
  Tanh: 'return tanh(clamp(x, -15.0, 15.0));',
  ReLU: 'return max(x, 0.0);',
  ReLU6: 'return clamp(x, 0.0, 6.0);',
  Sigmoid: 'return 1.0 / (1.0 + exp(-x));',
  SiLU: 'return x / (1.0 + exp(-x));',
  LeakyReLU: 'return select(0.01 * x, x, x > 0.0);',
  Hardtanh: 'return clamp(x, -1.0, 1.0);',
  Softsign: 'return x / (1.0 + abs(x));',
};

/** `activation(vectors · weightᵀ + bias)`. */
function denseKernel(activation: string, name: string): Kernel {
  return elementKernel(
    `dense ${name}`,
    { vectors: 'f32', weight: 'f32', bias: 'f32' },
    `fn activate(x: f32) -> f32 { ${activation} }`,
    `for (var i = 0u; i < sizes.width; i++) {
       result += vectors[row * sizes.width + i] * weight[column * sizes.width + i];
     }
     result = activate(result + bias[column]);`,
  );
}

/** Every entry computes the norm of its row again: rows are short, and a pass more would cost as much. */
const normalizeKernel = elementKernel(
  'normalize',
  { vectors: 'f32' },
  '',
  `var squares = 0.0;
   for (var i = 0u; i < sizes.width; i++) { let value = vectors[row * sizes.width + i]; squares += value * value; }
   result = vectors[index] / max(sqrt(squares), 1e-12);`,
);

const truncateKernel = elementKernel(
  'truncate',
  { vectors: 'f32' },
  '',
  'result = vectors[row * sizes.width + column];',
);

const layerNormKernel = elementKernel(
  'layer norm',
  { vectors: 'f32', weight: 'f32', bias: 'f32', epsilon: 'f32' },
  '',
  `var sum = 0.0;
   for (var i = 0u; i < sizes.width; i++) { sum += vectors[row * sizes.width + i]; }
   let mean = sum / f32(sizes.width);
   var squares = 0.0;
   for (var i = 0u; i < sizes.width; i++) { let off = vectors[row * sizes.width + i] - mean; squares += off * off; }
   result = (vectors[index] - mean) / sqrt(squares / f32(sizes.width) + epsilon[0]) * weight[column] + bias[column];`,
);

/** A projection as a kernel, and the constants that it reads. */
export interface ProjectionKernel {
  readonly kernel: Kernel;
  readonly constants: readonly Float32Array[];
}

/** `undefined` for what only the host computes: residuals and the rarer activations. */
export function projectionKernel(projection: Projection): ProjectionKernel | undefined {
  if (projection.kind === 'normalize') return { kernel: normalizeKernel, constants: [] };
  if (projection.kind === 'truncate') return { kernel: truncateKernel, constants: [] };
  if (projection.kind === 'layer-norm') {
    const { weight, bias, epsilon } = projection;
    return { kernel: layerNormKernel, constants: [weight, bias, Float32Array.of(epsilon)] };
  }
  const { weight, bias = new Float32Array(weight.rows) } = projection;
  const activation = activations[projection.activation];
  if (activation === undefined || projection.residual === true) return undefined;
  return { kernel: denseKernel(activation, projection.activation), constants: [weight.data, bias] };
}
