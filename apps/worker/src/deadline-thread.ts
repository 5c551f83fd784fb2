/** The thread that kills a worker which does not end in time, also when the event loop of its main thread is blocked. */
import { writeSync } from 'node:fs';
import { startTimer } from '@sentvec/platform';
import { serveThread } from '@sentvec/platform/node';

/** The protocol of this thread: what its starter passes. */
export interface DeadlineProtocol {
  readonly data: {
    readonly milliseconds: number;
    /** The last line of the log. */
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
