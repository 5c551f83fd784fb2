// Handles Ctrl-C, and the end of the program that reads the output of the command.
import { endProcess, ioError } from '@sentvec/platform/node';
import { exitCode } from './exit-codes.ts';
import { removeProgress } from './progress.ts';

/**
 * Ctrl-C, once: the signal fires, so that work stops where it can go on later. Again: the process ends at once.
 * `SIGTERM` counts as Ctrl-C.
 */
export function abortOnInterrupt(): AbortSignal {
  const controller = new AbortController();
  const interrupt = (): void => {
    if (controller.signal.aborted) {
      void endProcess(exitCode.interrupted);
      return;
    }
    removeProgress();
    process.stderr.write('Stopping … (again to stop at once)\n');
    controller.abort();
  };
  process.on('SIGINT', interrupt);
  process.on('SIGTERM', interrupt);
  return controller.signal;
}

/**
 * Writes to standard output, waiting while the reader is slow. When the reader has gone (`| head`) the rest is not
 * needed: the process ends, successfully.
 */
export function writeResult(text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(text.endsWith('\n') ? text : `${text}\n`, (error) => {
      if (error === undefined || error === null) resolve();
      else if (isClosedPipe(error)) process.exit(0);
      else reject(ioError(error, 'Writing', 'standard output'));
    });
  });
}

/**
 * Ends the process quietly when the reader of standard output has gone. What else fails there, such as a full disk, is
 * the error of the {@link writeResult} that it happens to. Where standard error cannot be written, the work goes on, and
 * its exit code is the only thing that tells how it ended.
 */
export function handleOutputErrors(): void {
  process.stdout.on('error', (error) => {
    if (isClosedPipe(error)) process.exit(0);
  });
  process.stderr.on('error', () => {});
}

function isClosedPipe(error: NodeJS.ErrnoException): boolean {
  return error.code === 'EPIPE';
}
