/** The errors that all stores have in common, so that callers can tell what happened. */
import { SentvecError } from '@sentvec/platform';

/** Where a key of a store is: its URI, for messages and details. */
export function locationOf(uri: string, key: string): string {
  return key === '' ? uri : `${uri.replace(/\/$/u, '')}/${key}`;
}

/** The error of reading a file that is not there. */
export function missingError(file: string): SentvecError {
  return new SentvecError('io-failed', `There is no file ${file}. Check its name.`, { file, missing: true });
}

/** The error of a bucket that is not there, which is another thing than a file that is not there. */
export function missingBucketError(uri: string, message: string, status: number): SentvecError {
  return new SentvecError('io-failed', message, { file: uri, status, code: 'NoSuchBucket', missing: true });
}

/** The error of a file that is another version than was asked for, or shorter. */
export function changedError(file: string): SentvecError {
  const message = `${file} has changed while it was read. Read it again once it stays as it is.`;
  return new SentvecError('io-failed', message, { file, changed: true });
}

/** The error of a key that a store cannot have. */
export function invalidKeyError(file: string, problem: string): SentvecError {
  return new SentvecError('invalid-argument', `${file} cannot be the name of a file here: ${problem}.`, { file });
}

/** @throws SentvecError `invalid-argument` unless both ends are whole numbers, in order */
export function checkRange(file: string, start: number, end: number | undefined): void {
  const isRange =
    Number.isSafeInteger(start) && start >= 0 && (end === undefined || (Number.isSafeInteger(end) && end >= start));
  if (isRange) return;
  throw new SentvecError(
    'invalid-argument',
    `${file} has no bytes from ${start} to ${end}. Give whole numbers, in order.`,
    {
      file,
    },
  );
}
