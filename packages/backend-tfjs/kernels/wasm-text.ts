/** Small words for writing WebAssembly text. */

export const get = (local: string): string => `(local.get $${local})`;
export const set = (local: string, value: string): string => `(local.set $${local} ${value})`;
export const i32 = (value: number): string => `(i32.const ${value})`;
export const bytes = (entries: string): string => `(i32.shl ${entries} (i32.const 2))`;
export const plus = (a: string, b: string): string => `(i32.add ${a} ${b})`;
export const minus = (a: string, b: string): string => `(i32.sub ${a} ${b})`;
export const times = (a: string, b: string): string => `(i32.mul ${a} ${b})`;
export const smaller = (a: string, b: string): string => `(select ${a} ${b} (i32.lt_u ${a} ${b}))`;
export const each = <T>(items: readonly T[], write: (item: T) => string): string => items.map(write).join('\n');

/** Declares locals of one type. */
export const locals = (type: string, names: readonly string[]): string =>
  each(names, (name) => `(local $${name} ${type})`);

/** The sum of the four lanes of a vector, pairwise. */
export function sumOfLanes(vector: string): string {
  const lane = (index: number): string => `(f32x4.extract_lane ${index} ${vector})`;
  return `(f32.add (f32.add ${lane(0)} ${lane(1)}) (f32.add ${lane(2)} ${lane(3)}))`;
}

/** Runs `body` while `counter` is below `end`, adding `step` to it after each time. It has its first value already. */
export function loopWhileBelow(counter: string, end: string, step: string, body: string): string {
  const label = `${counter}_loop`;
  return `
  (block $${label}_end
    (loop $${label}
      (br_if $${label}_end (i32.ge_u ${get(counter)} ${end}))
      ${body}
      ${set(counter, plus(get(counter), step))}
      (br $${label})))`;
}
