// The worker thread of a session, because `InferenceSession.run` blocks its thread.
import { serveThread, transferred } from '@sentvec/platform/node';
import { openRunner } from './batch-runner.ts';
import type { SessionProtocol } from './messages.ts';
import { enter, leave } from './run-state.ts';
import { importOnnxRuntime } from './token-session.ts';

serveThread<SessionProtocol>(
  async ({ state }, program) => {
    /** Wraps a call of onnxruntime. The promise never settles if the process is exiting. */
    const wrap = async <T>(work: () => Promise<T>): Promise<T> => {
      if (!enter(state)) return new Promise(() => {});
      try {
        return await work();
      } finally {
        leave(state);
      }
    };
    await importOnnxRuntime();
    const runner = await openRunner(await program.call('specification', undefined), wrap);
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
