// The thread of threads.test.ts: does what a test asks for.
import { writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { workerData } from 'node:worker_threads';
import { SentvecError, sleep } from '@sentvec/platform';
import { serveThread, transferred } from '@sentvec/platform/node';

serveThread(
  async (data, program) => {
    if (data.refuse) throw new SentvecError('invalid-model', 'The model is broken.', { file: 'model.bin' });
    if (data.exit) process.exit(3);
    const calls = [];
    return {
      ready: { flags: process.execArgv, greeting: `hello ${data.name}` },
      handlers: {
        add: ({ left, right }) => left + right,
        refuse: () => {
          throw new SentvecError('invalid-argument', 'Not that.');
        },
        double: (numbers) => {
          const doubled = numbers.map((number) => 2 * number);
          return transferred(doubled, [doubled.buffer]);
        },
        wait: async (milliseconds, { signal }) => {
          calls.push(milliseconds);
          await sleep(milliseconds, signal);
          return calls.length;
        },
        spin: () => {
          for (;;);
        },
        fail: async (how) => {
          if (how === 'sentvec') {
            const cause = new TypeError('three is odd', { cause: 'a cause that is not an error' });
            throw new SentvecError('invalid-text', 'Row 3 is broken.', { row: 3 }, { cause });
          }
          if (how === 'system') await readFile('/no/such/file');
          if (how === 'uncloneable') return () => {};
          if (how === 'uncaught')
            setTimeout(() => {
              throw new RangeError('out of numbers');
            }, 0);
          if (how === 'uncaught') return sleep(60_000);
          throw how;
        },
        askProgram: async (path) => `the program says: ${String(await program.call('read', path))}`,
      },
      dispose: () => {
        if (data.disposedFile) writeFileSync(data.disposedFile, 'disposed');
      },
    };
  },
  { serial: workerData.serial },
);
