/** Errors that all stores share, so that callers can distinguish them. */
import { SentvecError } from '@sentvec/platform';

/** The URI of a key in a store, for messages and details. */
export function locationOf(uri: string, key: string): string {
  return key === '' ? uri : `${uri.replace(/\/$/u, '')}/${key}`;
}

/** The error for reading a missing file. */
export function missingError(file: string): SentvecError {
  return new SentvecError('io-failed', `There is no file ${file}. Check its name.`, { file, missing: true });
}

/** The error for a missing bucket. It differs from that of a missing file: `details.missing` is not set. */
export function missingBucketError(uri: string, message: string, status: number): SentvecError {
  return new SentvecError('io-failed', message, { file: uri, status, code: 'NoSuchBucket', missing: true });
}

/** The error for a file that has another version than requested, or is shorter. */
export function changedError(file: string): SentvecError {
  const message = `${file} has changed while it was being read. Read it again when it no longer changes.`;
  return new SentvecError('io-failed', message, { file, changed: true });
}

/** The error for an invalid key. */
export function invalidKeyError(file: string, problem: string): SentvecError {
  return new SentvecError('invalid-argument', `${file} is not a valid file name in this store: ${problem}.`, { file });
}

/** Validates a byte range. @throws SentvecError `invalid-argument` unless both ends are whole numbers in order */
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
