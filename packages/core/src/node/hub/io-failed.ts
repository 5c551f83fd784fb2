import { SentvecError } from '../../errors.ts';

/**
 * Runs work that writes to a folder, and explains errors of the file system.
 * @throws SentvecError `io-failed`
 */
export async function ioFailed<T>(directory: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof Error) || SentvecError.is(error) || !('syscall' in error)) throw error;
    const message = `The cache of the hub in ${directory} cannot be written: ${error.message}. Free or choose another place with HF_HOME.`;
    throw new SentvecError('io-failed', message, { file: directory }, { cause: error });
  }
}
