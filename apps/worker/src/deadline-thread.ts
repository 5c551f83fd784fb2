/**
 * A thread that kills the worker process if it does not exit in time, even when the event loop of the main thread is
 * blocked. */
import { writeSync } from 'node:fs';
import { startTimer } from '@sentvec/platform';
import { serveThread } from '@sentvec/platform/node';

/** Types of the data that this thread receives when it starts. */
export interface DeadlineProtocol {
  readonly data: {
    readonly milliseconds: number;
    /** The log line that this thread writes before it kills the process. */
    readonly lastWords: string;
  };
  readonly ready: null;
  readonly calls: object;
  readonly programCalls: object;
}

serveThread<DeadlineProtocol>(({ milliseconds, lastWords }) => {
  startTimer(milliseconds, () => {
    writeSync(2, lastWords);
    process.kill(process.pid, 'SIGKILL');
  });
  return { ready: null, handlers: {} };
});
