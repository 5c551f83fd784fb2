/*
 * From an error code of the operating system to an error that says what was tried, on which file, and what to do.
 */
import { SentvecError } from '../errors.ts';

const remedies: Readonly<Record<string, string>> = {
  ENOSPC: 'The disk is full. Free some space.',
  EDQUOT: 'The disk quota is used up. Free some space.',
  EFBIG: 'The file system does not allow a file of this size. Choose another disk.',
  EACCES: 'Permission was denied. Give this user access, or choose another path.',
  EPERM: 'The operation is not permitted. Give this user access, or choose another path.',
  EROFS: 'The file system is read-only. Choose another path.',
  ENOENT: 'The file or its folder is not there. Check the path.',
  ENOTDIR: 'A part of the path is a file, not a folder. Choose another path.',
  EISDIR: 'The path is a folder, not a file. Choose another path.',
  EEXIST: 'The path is there already. Remove it, or choose another path.',
  ENOTEMPTY: 'The folder is not empty. Empty it, or choose another path.',
  ENAMETOOLONG: 'The name is too long for the file system. Choose a shorter path.',
  ELOOP: 'The path leads through symbolic links that point at each other. Choose another path.',
  EMFILE: 'Too many files are open. Raise the limit of this process (ulimit -n).',
  ENFILE: 'Too many files are open on this machine. Close some programs, or raise its limit.',
  EBUSY: 'Another program uses it, or it is a mount point. Close the program, or choose a path inside.',
  EIO: 'The disk or its connection failed. Check the disk, then try again.',
  ESTALE: 'The network folder changed on its server. Mount it again, then try again.',
  EADDRINUSE: 'Another program listens there. Stop it, or choose another address.',
  EADDRNOTAVAIL: 'This machine does not have the address. Choose one of its own, or 127.0.0.1.',
  EXDEV: 'The path is on another file system than its temporary file. Choose a path within one file system.',
};

/** Whether an error comes from the operating system, and with `code`, whether it has that error code (such as `ENOENT`). */
export function isSystemError(error: unknown, code?: string): error is NodeJS.ErrnoException & { code: string } {
  if (!(error instanceof Error) || !('syscall' in error)) return false;
  if (!('code' in error) || typeof error.code !== 'string') return false;
  return code === undefined || error.code === code;
}

/**
 * A system error as SentvecError `io-failed`, with the file and the error code in its details. Any other error is
 * returned as it is.
 * @param doing what was tried: `Writing the checkpoint`
 * @param file the file or folder, as the user named it
 * @param advice a sentence on what the failure leaves behind, or on what else to do
 */
export function ioError(error: unknown, doing: string, file: string, advice = ''): unknown {
  if (SentvecError.is(error) || !isSystemError(error)) return error;
  const remedy = remedies[error.code] ?? `The system says: ${error.message}.`;
  const message = `${doing} failed: ${file} (${error.code}). ${remedy}${advice && ` ${advice}`}`;
  return new SentvecError('io-failed', message, { file, errno: error.code }, { cause: error });
}

/**
 * Runs work on a file, and explains its system errors as {@link ioError} does.
 * @throws SentvecError `io-failed`; whatever else the work throws
 */
export async function guardIo<T>(doing: string, file: string, work: () => Promise<T>, advice?: string): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw ioError(error, doing, file, advice);
  }
}
