// The thread of a session: `InferenceSession.run` blocks this thread and no other.
import { applyProjections, createPooling, tokenPooling } from '@sentvec/core/head';
import { serveThread, transferred } from '@sentvec/platform/node';
import type { RunRequest, SessionProtocol, ThreadHead } from './messages.ts';
import { enter, leave } from './run-state.ts';
import { importOnnxRuntime, openSession } from './token-session.ts';

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
    const specification = await program.call('specification', undefined);
    const session = await inside(() => openSession(specification));
    const { hiddenSize, pooledOutput } = session;
    const heads: Embed[] = [];
    /** Pools and projects a batch by the functions that the pipeline uses. */
    const embedWith = ({ modes, projections }: ThreadHead): Embed => {
      if (modes === undefined) {
        return async (batch) => {
          const data = await inside(() => session.encodeTexts(batch));
          return applyProjections(projections, { data, rows: batch.rows, cols: pooledOutput!.size }).data;
        };
      }
      const pooling = modes === 'tokens' ? tokenPooling() : createPooling(modes);
      return async (batch, mask) => {
        const data = await inside(() => session.encodeInPlace(batch));
        const tokens = { data, rows: batch.rows * batch.cols, cols: hiddenSize };
        return applyProjections(projections, pooling.pool(tokens, { ...batch, mask })).data;
      };
    };
    return {
      ready: { hiddenSize, pooledOutput },
      handlers: {
        addHead: (head) => void heads.push(embedWith(head)),
        outputs: (batch) => inside(() => session.outputs(batch)),
        run: async (request) => {
          const { pooled } = request;
          const data =
            pooled === undefined
              ? await inside(() => session.encode(request))
              : await heads[pooled.head]!(request, pooled.mask);
          return transferred(data, [data.buffer as ArrayBuffer]);
        },
      },
      dispose: () => inside(() => session.release()),
    };
  },
  { serial: true },
);

/** The final vectors of a batch, row-major. */
type Embed = (batch: RunRequest, mask: Int32Array) => Promise<Float32Array>;
