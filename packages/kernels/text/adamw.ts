// The two loops of an optimizer step that touch every parameter. Counts are multiples of 4: the buffers are padded.
import { bytes, each, exported, get, i32, increase, loopWhileBelow, of, plus, set } from './words.ts';

const end = (address: string): string => set('end', plus(get(address), bytes(get('count'))));
const load = (address: string): string => `(v128.load ${get(address)})`;
const add = (a: string, b: string): string => `(f32x4.add ${a} ${b})`;
const multiply = (a: string, b: string): string => `(f32x4.mul ${a} ${b})`;

/** Adds the squares of the two numbers in the lower half of the block to a sum in double precision. */
function addSquares(sum: string): string {
  const numbers = `(f64x2.promote_low_f32x4 ${get('block')})`;
  return set(sum, `(f64x2.add ${get(sum)} (f64x2.mul ${numbers} ${numbers}))`);
}

const exchangeHalves = `(i8x16.shuffle 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7 ${get('block')} ${get('block')})`;

/** Σ x² of `count` numbers, added up in double precision. */
export const sumOfSquares: string = exported(
  'sumOfSquares',
  of('i32', 'x', 'count'),
  [...of('i32', 'end'), ...of('v128', 'block', 'low', 'high')],
  `${end('x')}
  ${loopWhileBelow(
    'x',
    get('end'),
    i32(16),
    `${set('block', load('x'))}
    ${addSquares('low')}
    ${set('block', exchangeHalves)}
    ${addSquares('high')}`,
  )}
  ${set('low', `(f64x2.add ${get('low')} ${get('high')})`)}
  (f64.add (f64x2.extract_lane 0 ${get('low')}) (f64x2.extract_lane 1 ${get('low')}))`,
  'f64',
);

/** Vectors that hold a number of the call in each lane, and that number. */
const splats = {
  scales: get('scale'),
  beta1s: get('beta1'),
  rest1s: `(f32.sub (f32.const 1) ${get('beta1')})`,
  beta2s: get('beta2'),
  rest2s: `(f32.sub (f32.const 1) ${get('beta2')})`,
  keeps: get('keep'),
  steps: get('step'),
  corrections: get('correction'),
  epsilons: get('epsilon'),
};

const denominator = add(multiply(`(f32x4.sqrt ${get('variance')})`, get('corrections')), get('epsilons'));
const change = `(f32x4.div ${multiply(get('mean'), get('steps'))} ${denominator})`;
const square = multiply(get('gradient'), get('gradient'));

const fourParameters = `
  ${set('gradient', multiply(load('g'), get('scales')))}
  ${set('mean', add(multiply(load('m'), get('beta1s')), multiply(get('gradient'), get('rest1s'))))}
  ${set('variance', add(multiply(load('v'), get('beta2s')), multiply(square, get('rest2s'))))}
  (v128.store ${get('m')} ${get('mean')})
  (v128.store ${get('v')} ${get('variance')})
  (v128.store ${get('w')} (f32x4.sub ${multiply(load('w'), get('keeps'))} ${change}))
  ${each(['m', 'v', 'g'], (address) => increase(address, i32(16)))}`;

/**
 * One AdamW update of `count` parameters at the addresses w, with their moments m and v and their gradients g. A gradient
 * is multiplied by `scale` (clipping, accumulation) as it is read.
 *
 *     m ← b1·m + (1-b1)·g    v ← b2·v + (1-b2)·g²    w ← w·keep - step · m / (√v · correction + epsilon)
 */
export const update: string = exported(
  'update',
  [
    ...of('i32', 'w', 'm', 'v', 'g', 'count'),
    ...of('f32', 'scale', 'beta1', 'beta2', 'keep', 'step', 'correction', 'epsilon'),
  ],
  [...of('i32', 'end'), ...of('v128', 'gradient', 'mean', 'variance', ...Object.keys(splats))],
  `${end('w')}
  ${each(Object.entries(splats), ([vector, number]) => set(vector, `(f32x4.splat ${number})`))}
  ${loopWhileBelow('w', get('end'), i32(16), fourParameters)}`,
);
