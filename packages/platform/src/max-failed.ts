import { SentvecError } from './errors.ts';

/** How many items of a run may fail: a number, or a percentage of all items. */
export type MaxFailed = number | `${number}%`;

/** The most items of a run that may fail, whatever a percentage comes to: each is recorded with its input and error. */
export const mostFailedItems = 1000;

/** Whether a value is a whole number from 0 to 1000, or 0 % to 100 %. */
export function isMaxFailed(value: unknown): value is MaxFailed {
  if (typeof value === 'number') return Number.isInteger(value) && value >= 0 && value <= mostFailedItems;
  return percentOf(value) !== undefined;
}

/** @throws SentvecError `invalid-argument` */
export function checkMaxFailed(value: unknown): void {
  if (isMaxFailed(value)) return;
  const form = `a whole number from 0 to ${mostFailedItems}, or a percentage from 0% to 100%, such as 1%`;
  throw new SentvecError('invalid-argument', `\`maxFailed\` must be ${form}, not ${JSON.stringify(value)}.`);
}

/** How many of some items may fail: at most {@link mostFailedItems}. */
export function allowedFailures(maxFailed: MaxFailed, items: number): number {
  const percent = percentOf(maxFailed);
  const allowed = percent === undefined ? Number(maxFailed) : Math.floor((items * percent) / 100);
  return Math.min(allowed, mostFailedItems);
}

function percentOf(value: unknown): number | undefined {
  const [, digits] = (typeof value === 'string' && /^(\d{1,3}(?:\.\d{1,6})?)%$/u.exec(value)) || [];
  const percent = Number(digits ?? NaN);
  return percent <= 100 ? percent : undefined;
}
