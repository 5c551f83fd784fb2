import { bytes, exported, fourTimes, get, i32, loopWhileBelow, of, plus, set, wholeVectors } from './words.ts';

/**
 * erf(x) ≈ x · P(x²) / Q(x²) for |x| ≤ 3.8, and as at 3.8 beyond. Coefficients from the lowest power up, fitted by
 * weighted least squares with Lawson's weights. The largest error is 1e-8 in exact arithmetic and 4e-7 in float32.
 */
const numerator = [1.12837907, 0.188116151, 0.0525473357, 0.00369361237, 0.000287999516, 2.1321336e-6];
const denominator = [1, 0.500045855, 0.113254885, 0.0148229255, 0.00115374508, 3.9097874e-5];
const limit = 3.8;

const multiply = (a: string, b: string): string => `(f32x4.mul ${a} ${b})`;

function polynomial(coefficients: readonly number[], x: string): string {
  return coefficients
    .map(fourTimes)
    .reduceRight((sum, coefficient) => `(f32x4.add ${multiply(sum, x)} ${coefficient})`);
}

/** Sets $y to the error function of the vector. */
const errorFunction = (vector: string): string => `
  ${set('y', `(f32x4.max ${fourTimes(-limit)} (f32x4.min ${fourTimes(limit)} ${vector}))`)}
  ${set('square', multiply(get('y'), get('y')))}
  ${set('y', `(f32x4.div ${multiply(get('y'), polynomial(numerator, get('square')))} ${polynomial(denominator, get('square'))})`)}`;

/** A function (x, y, count) over addresses that sets the vector $y from the vector $x, four entries at a time. */
function entryByEntry(name: string, compute: string): string {
  const from = (offset: string): string => plus(get('from'), get(offset));
  const to = (offset: string): string => plus(get('to'), get(offset));
  const four = `${set('x', `(v128.load ${from('i')})`)} ${compute} (v128.store ${to('i')} ${get('y')})`;
  const one = `${set('x', `(v128.load32_splat ${from('rest')})`)} ${compute} (v128.store32_lane 0 ${to('rest')} ${get('y')})`;
  return exported(
    name,
    of('i32', 'from', 'to', 'count'),
    [...of('i32', 'i', 'rest', 'end'), ...of('v128', 'x', 'y', 'square')],
    `${set('end', bytes(get('count')))}
    ${set('rest', wholeVectors(get('end')))}
    ${loopWhileBelow('i', get('rest'), i32(16), four)}
    ${loopWhileBelow('rest', get('end'), i32(4), one)}`,
  );
}

/** The error function. */
export const erf: string = entryByEntry('erf', errorFunction(get('x')));

/** x · (1 + erf(x / √2)) / 2 */
export const gelu: string = entryByEntry(
  'gelu',
  `${errorFunction(multiply(get('x'), fourTimes(Math.SQRT1_2)))}
  ${set('y', multiply(multiply(get('x'), fourTimes(0.5)), `(f32x4.add ${get('y')} ${fourTimes(1)})`))}`,
);
