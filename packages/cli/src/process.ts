// Handles Ctrl-C and closed output pipes.
import { endProcess, ioError } from '@sentvec/platform/node';
import { exitCode } from './exit-codes.ts';
import { removeProgress } from './progress.ts';

/**
 * Returns a signal that is aborted at the first Ctrl-C, so that work stops in a state from which it can be continued. A
 * second Ctrl-C ends the process at once. SIGTERM is handled like Ctrl-C.
 */
export function abortOnInterrupt(): AbortSignal {
  const controller = new AbortController();
  const interrupt = (): void => {
    if (controller.signal.aborted) {
      void endProcess(exitCode.interrupted);
      return;
    }
    removeProgress();
    process.stderr.write('Stopping … (press Ctrl-C again to stop at once)\n');
    controller.abort();
  };
  process.on('SIGINT', interrupt);
  process.on('SIGTERM', interrupt);
  return controller.signal;
}

/**
 * Writes to standard output, and waits for a slow reader. If the reader has closed the pipe (`| head`), the process
 * ends successfully.
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
 * Ends the process quietly if the reader of standard output has closed the pipe. Other errors there, such as a full
 * disk, are thrown by {@link writeResult}. Errors of standard error are ignored: the command continues, and only its
 * exit code reports the result.
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
