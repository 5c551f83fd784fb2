import {
  bytes,
  exported,
  get,
  i32,
  increase,
  loopWhileBelow,
  of,
  plus,
  set,
  sumOfLanes,
  wholeVectors,
  zeros,
} from './words.ts';

const vectorAt = (address: string): string => `(v128.load ${plus(get(address), get('i'))})`;
const numberAt = (address: string): string => `(f32.load ${plus(get(address), get('i'))})`;

/** A pass over a row: by fours, then what is left. */
const pass = (fours: string, ones: string): string => `
  ${set('i', i32(0))}
  ${loopWhileBelow('i', get('vectorBytes'), i32(16), fours)}
  ${loopWhileBelow('i', get('rowBytes'), i32(4), ones)}`;

/** Mean over the row: the lanes of $sum, and $rest, divided by the width. */
const meanOf = `(f32.div (f32.add ${sumOfLanes(get('sum'))} ${get('rest')}) (f32.convert_i32_u ${get('width')}))`;
const clear = `${set('sum', zeros)} ${set('rest', '(f32.const 0)')}`;

const row = `
  ${clear}
  ${pass(set('sum', `(f32x4.add ${get('sum')} ${vectorAt('from')})`), set('rest', `(f32.add ${get('rest')} ${numberAt('from')})`))}
  ${set('mean', meanOf)}
  ${set('means', `(f32x4.splat ${get('mean')})`)}
  ${clear}
  ${pass(
    `${set('x', `(f32x4.sub ${vectorAt('from')} ${get('means')})`)}
     ${set('sum', `(f32x4.add ${get('sum')} (f32x4.mul ${get('x')} ${get('x')}))`)}`,
    `${set('difference', `(f32.sub ${numberAt('from')} ${get('mean')})`)}
     ${set('rest', `(f32.add ${get('rest')} (f32.mul ${get('difference')} ${get('difference')}))`)}`,
  )}
  ${set('scale', `(f32.div (f32.const 1) (f32.sqrt (f32.add ${meanOf} ${get('epsilon')})))`)}
  ${set('scales', `(f32x4.splat ${get('scale')})`)}
  ${pass(
    `${set('x', `(f32x4.mul (f32x4.sub ${vectorAt('from')} ${get('means')}) ${get('scales')})`)}
     (v128.store ${plus(get('to'), get('i'))} (f32x4.add (f32x4.mul ${get('x')} ${vectorAt('weight')}) ${vectorAt('bias')}))`,
    `${set('difference', `(f32.mul (f32.sub ${numberAt('from')} ${get('mean')}) ${get('scale')})`)}
     (f32.store ${plus(get('to'), get('i'))} (f32.add (f32.mul ${get('difference')} ${numberAt('weight')}) ${numberAt('bias')}))`,
  )}
  ${increase('from', get('rowBytes'))}
  ${increase('to', get('rowBytes'))}`;

/**
 * Layer normalization of [rows, width] at `from`, written to `to`; `weight` and `bias` are [width]. All are addresses.
 */
export const layerNorm: string = exported(
  'layerNorm',
  [...of('i32', 'from', 'to', 'weight', 'bias', 'rows', 'width'), ...of('f32', 'epsilon')],
  [
    ...of('i32', 'row', 'i', 'rowBytes', 'vectorBytes'),
    ...of('f32', 'rest', 'mean', 'scale', 'difference'),
    ...of('v128', 'sum', 'x', 'means', 'scales'),
  ],
  `${set('rowBytes', bytes(get('width')))}
  ${set('vectorBytes', wholeVectors(get('rowBytes')))}
  ${loopWhileBelow('row', get('rows'), i32(1), row)}`,
);
