import { exitCode } from './exit-codes.ts';
import { removeProgress } from './progress.ts';

/**
 * Ctrl-C, once: the signal fires, so that work stops where it can go on later. Again: the process ends at once.
 * `SIGTERM` counts as Ctrl-C.
 */
export function abortOnInterrupt(): AbortSignal {
  const controller = new AbortController();
  const interrupt = (): void => {
    if (controller.signal.aborted) process.exit(exitCode.interrupted);
    removeProgress();
    process.stderr.write('Stopping … (again to stop at once)\n');
    controller.abort();
  };
  process.on('SIGINT', interrupt);
  process.on('SIGTERM', interrupt);
  return controller.signal;
}
