import type { PoolingMode } from '@sentvec/core';
import { elementKernel, type Kernel } from './kernel.ts';

/**
 * Poolings over `tokens` (rows × length × width) and `mask` (rows × length); a text without tokens gives zeros. Every
 * invocation walks over the tokens of one text, for one entry of their vectors: neighbours read neighbours. Sums are
 * compensated (Kahan), as the host adds in double precision. They follow `createPooling` of `@sentvec/core`.
 */
const bodies: Readonly<Record<PoolingMode, string>> = {
  cls: over('if (count == 1u) { result = value; }'),
  lasttoken: over('result = value;'),
  max: over('result = select(max(result, value), value, count == 1u);'),
  mean: `${over(add('value'))} if (count > 0u) { result = total / f32(count); }`,
  mean_sqrt_len_tokens: `${over(add('value'))} if (count > 0u) { result = total / sqrt(f32(count)); }`,
  weightedmean: `${over(`let weight = f32(token + 1u); weights += weight; ${add('weight * value')}`)} if (count > 0u) { result = total / weights; }`,
};

/** The kernel of each mode. */
export const poolingKernels: Readonly<Record<PoolingMode, Kernel>> = Object.fromEntries(
  Object.entries(bodies).map(([mode, body]) => [
    mode,
    elementKernel(`pooling ${mode}`, { tokens: 'f32', mask: 'u32' }, '', body),
  ]),
) as Record<PoolingMode, Kernel>;

function over(step: string): string {
  return `
    var count = 0u;
    var total = 0.0;
    var lost = 0.0;
    var weights = 0.0;
    for (var token = 0u; token < sizes.length; token++) {
      if (mask[row * sizes.length + token] == 0u) { continue; }
      count++;
      let value = tokens[(row * sizes.length + token) * sizes.width + column];
      ${step}
    }`;
}

function add(summand: string): string {
  return `let summand = ${summand} - lost; let next = total + summand; lost = (next - total) - summand; total = next;`;
}
