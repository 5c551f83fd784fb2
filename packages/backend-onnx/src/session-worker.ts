// The thread of a session: `InferenceSession.run` blocks this thread and no other.
import { applyProjections, createPooling } from '@sentvec/core/head';
import { serveThread, transferred } from '@sentvec/platform/node';
import type { RunRequest, SessionProtocol, ThreadHead } from './messages.ts';
import { enter, leave } from './run-state.ts';
import { openSession } from './token-session.ts';

serveThread<SessionProtocol>(
  async ({ state, ...specification }) => {
    /** Runs what calls onnxruntime; never settles when the process is about to exit. */
    const inside = async <T>(work: () => Promise<T>): Promise<T> => {
      if (!enter(state)) return new Promise(() => {});
      try {
        return await work();
      } finally {
        leave(state);
      }
    };
    const session = await inside(() => openSession(specification));
    const { hiddenSize } = session;
    const heads: Pool[] = [];
    return {
      ready: { hiddenSize },
      handlers: {
        addHead: (head) => void heads.push(poolWith(head, hiddenSize)),
        run: async (request) => {
          const { pooled } = request;
          const data =
            pooled === undefined
              ? await inside(() => session.encode(request))
              : heads[pooled.head]!(await inside(() => session.encodeInPlace(request)), request, pooled.mask);
          return transferred(data, [data.buffer as ArrayBuffer]);
        },
      },
      dispose: () => inside(() => session.release()),
    };
  },
  { serial: true },
);

/** The final vectors of a batch, row-major, from its token embeddings. */
type Pool = (embeddings: Float32Array, batch: RunRequest, mask: Int32Array) => Float32Array;

/** Does what the pipeline would do with token embeddings, by the same functions. */
function poolWith({ modes, projections }: ThreadHead, hiddenSize: number): Pool {
  const pooling = createPooling(modes);
  return (data, batch, mask) => {
    const tokens = { data, rows: batch.rows * batch.cols, cols: hiddenSize };
    return applyProjections(projections, pooling.pool(tokens, { ...batch, mask })).data;
  };
}
