// The thread of a session: `InferenceSession.run` blocks this thread and no other.
import type { Projection, TokenBatch } from '@sentvec/core';
import { applyProjections, createPooling } from '@sentvec/core/head';
import { serveThread, transferred } from '@sentvec/platform/node';
import type { SessionProtocol, ThreadHead } from './messages.ts';
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
    const projections: Projection[] = [];
    return {
      ready: { hiddenSize },
      handlers: {
        addProjection: (projection) => void projections.push(projection),
        run: async ({ head, ...batch }) => {
          const data =
            head === undefined
              ? await inside(() => session.encode(batch))
              : pool(batch, head, projections, await inside(() => session.encodeInPlace(batch)), hiddenSize);
          return transferred(data, [data.buffer as ArrayBuffer]);
        },
      },
      dispose: () => inside(() => session.release()),
    };
  },
  { serial: true },
);

/** The final vectors of a batch: what the pipeline would make of the token embeddings, by the same functions. */
function pool(
  batch: TokenBatch,
  head: ThreadHead,
  known: readonly Projection[],
  data: Float32Array,
  cols: number,
): Float32Array {
  const pooled = createPooling(head.modes).pool(
    { data, rows: batch.rows * batch.cols, cols },
    { ...batch, mask: head.mask },
  );
  const projections = head.projections.map((index) => known[index]!);
  return applyProjections(projections, pooled).data;
}
