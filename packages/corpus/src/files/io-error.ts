import { SentvecError } from '@sentvec/core';

/** What a person can do about an error number of the operating system. */
const remedies: Readonly<Record<string, string>> = {
  ENOSPC: 'The disk is full. Free some space, then run the same command with --resume: finished shards are kept.',
  EDQUOT:
    'The disk quota is used up. Free some space, then run the same command with --resume: finished shards are kept.',
  EFBIG: 'The file system does not allow a file of this size. Use fewer rows in a chunk, or another disk.',
  EACCES: 'Permission was denied. Give this user access, or choose another path.',
  EPERM: 'The operation is not permitted. Give this user access, or choose another path.',
  EROFS: 'The file system is read-only. Choose another path.',
  ENOTDIR: 'A part of the path is a file, not a folder. Choose another path.',
  EMFILE: 'Too many files are open. Raise the limit (ulimit -n).',
  ENOENT: 'The file or its folder is not there.',
};

/**
 * An error of the file system as `io-failed`: what was tried, on which file, why it failed and what to do. Errors that
 * are sentvec's own already, and errors that do not come from the file system, are given back as they are.
 *
 * @param doing what was tried, for example `Writing a shard`
 */
export function ioFailed(error: unknown, doing: string, file: string): unknown {
  if (SentvecError.is(error) || !isSystemError(error)) return error;
  const remedy = remedies[error.code] ?? 'See the error number for the cause.';
  return new SentvecError(
    'io-failed',
    `${doing} failed: ${file} (${error.code}). ${remedy}`,
    { file, errno: error.code },
    { cause: error },
  );
}

/** Whether an error comes from the file system, and with `code`, whether it has that error number (`ENOENT`, say). */
export function isSystemError(error: unknown, code?: string): error is NodeJS.ErrnoException & { code: string } {
  if (!(error instanceof Error) || !('syscall' in error) || !('code' in error) || typeof error.code !== 'string')
    return false;
  return code === undefined || error.code === code;
}
