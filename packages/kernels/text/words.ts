// Helper functions for writing the text form of WebAssembly. Each gives text; expressions are folded, as in (i32.add a b).

type Type = 'i32' | 'f32' | 'f64' | 'v128';

/** A local variable or parameter. */
interface Local {
  readonly name: string;
  readonly type: Type;
}

/** Variables of one type. */
export const of = (type: Type, ...names: readonly string[]): Local[] => names.map((name) => ({ name, type }));

/** A function that the module exports. */
export function exported(
  name: string,
  parameters: readonly Local[],
  locals: readonly Local[],
  body: string,
  result?: Type,
): string {
  const declare = (keyword: string, variables: readonly Local[]): string =>
    each(variables, (variable) => `(${keyword} $${variable.name} ${variable.type})`);
  return `
(func (export "${name}") ${declare('param', parameters)} ${result === undefined ? '' : `(result ${result})`}
  ${declare('local', locals)}
  ${body})`;
}

export const get = (local: string): string => `(local.get $${local})`;
export const set = (local: string, value: string): string => `(local.set $${local} ${value})`;
export const i32 = (value: number): string => `(i32.const ${value})`;
export const plus = (a: string, b: string): string => `(i32.add ${a} ${b})`;
export const minus = (a: string, b: string): string => `(i32.sub ${a} ${b})`;
export const times = (a: string, b: string): string => `(i32.mul ${a} ${b})`;
export const smaller = (a: string, b: string): string => `(select ${a} ${b} (i32.lt_u ${a} ${b}))`;
export const increase = (local: string, by: string): string => set(local, plus(get(local), by));
export const each = <T>(items: readonly T[], write: (item: T) => string): string => items.map(write).join('\n');

/** How many bytes so many 4-byte entries take. */
export const bytes = (entries: string): string => `(i32.shl ${entries} (i32.const 2))`;

/** Bytes, or entries, rounded down to whole vectors of 16 bytes, or 4 entries. */
export const wholeVectors = (count: string): string => `(i32.and ${count} (i32.const -16))`;
export const wholeFours = (count: string): string => `(i32.and ${count} (i32.const -4))`;

/** A vector of zeros. */
export const zeros = '(v128.const i32x4 0 0 0 0)';

/** A vector with one number in its four lanes. */
export const fourTimes = (value: number): string => `(v128.const f32x4 ${value} ${value} ${value} ${value})`;

/** The sum of the four lanes of a vector, pairwise. */
export function sumOfLanes(vector: string, type: 'f32' | 'i32' = 'f32'): string {
  const lane = (index: number): string => `(${type}x4.extract_lane ${index} ${vector})`;
  return `(${type}.add (${type}.add ${lane(0)} ${lane(1)}) (${type}.add ${lane(2)} ${lane(3)}))`;
}

/** Runs `body` while `counter` is below `end`, adding `step` to it after each time. It has its first value already. */
export function loopWhileBelow(counter: string, end: string, step: string, body: string): string {
  return `
  (block $end
    (loop $next
      (br_if $end (i32.ge_u ${get(counter)} ${end}))
      ${body}
      ${increase(counter, step)}
      (br $next)))`;
}

/** Runs `body`, which increases `counter`, once and then again while `counter` is below `end`. */
export function loopUntil(counter: string, end: string, body: string): string {
  return `
  (loop $next
    ${body}
    (br_if $next (i32.lt_u ${get(counter)} ${end})))`;
}
