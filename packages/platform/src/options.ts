import { SentvecError } from './errors.ts';

/** @throws SentvecError `invalid-argument` when a count that a caller gave is not a whole number of at least `least` */
export function checkCount(count: number, name: string, least = 1): void {
  if (Number.isSafeInteger(count) && count >= least) return;
  const message = `${name} must be a whole number of at least ${least}, not ${String(count)}.`;
  throw new SentvecError('invalid-argument', message);
}

/** The names of all options of a function; the compiler sees to it that none is missing. */
export type OptionNames<Options> = Readonly<Record<keyof Options, true>>;

/**
 * Refuses options that a function does not have: a misspelt one would have no effect, silently. Options that are
 * `undefined` count as left out.
 * @param call the function as a person would name it: `embed()`
 * @throws SentvecError `invalid-argument`
 */
export function checkOptionNames<Options extends object>(
  call: string,
  options: Options,
  names: OptionNames<Options>,
): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    const found = options === null ? 'null' : Array.isArray(options) ? 'an array' : typeof options;
    throw new SentvecError('invalid-argument', `${call} takes its options as an object, not as ${found}.`);
  }
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || Object.hasOwn(names, name)) continue;
    const choice = Object.keys(names).join(', ');
    throw new SentvecError('invalid-argument', `${call} has no option ${JSON.stringify(name)}. It has ${choice}.`, {
      option: name,
    });
  }
}
