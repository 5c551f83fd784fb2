// The thread of a session: `InferenceSession.run` blocks this thread and no other.
import { serveThread, transferred } from '@sentvec/platform/node';
import { openRunner } from './batch-runner.ts';
import type { SessionProtocol } from './messages.ts';
import { enter, leave } from './run-state.ts';
import { importOnnxRuntime } from './token-session.ts';

serveThread<SessionProtocol>(
  async ({ state }, program) => {
    /** Runs what calls onnxruntime; never settles when the process is about to exit. */
    const inside = async <T>(work: () => Promise<T>): Promise<T> => {
      if (!enter(state)) return new Promise(() => {});
      try {
        return await work();
      } finally {
        leave(state);
      }
    };
    await importOnnxRuntime();
    const runner = await openRunner(await program.call('specification', undefined), inside);
    const { hiddenSize, pooledOutput } = runner;
    return {
      ready: { hiddenSize, pooledOutput },
      handlers: {
        addHead: (head) => runner.addHead(head),
        outputs: (batch) => runner.outputs(batch),
        run: async (request) => {
          const data = await runner.run(request);
          return transferred(data, [data.buffer as ArrayBuffer]);
        },
      },
      dispose: () => runner.release(),
    };
  },
  { serial: true },
);
