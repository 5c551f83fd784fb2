import { parentPort, workerData } from 'node:worker_threads';
import type { Projection, TokenBatch } from '@sentvec/core';
import { applyProjections, createPooling } from '@sentvec/core/head';
import type { Reply, Request, RunRequest, ThreadHead, WorkerStart } from './messages.ts';
import { enter, leave } from './run-state.ts';
import { openSession, type TokenSession } from './token-session.ts';

/**
 * The worker thread: one session, and the batches that wait for it. `InferenceSession.run` blocks this thread and no
 * other.
 */
const port = parentPort!;
const start: WorkerStart = workerData;
const waiting = new Map<number, RunRequest>();
const projections: Projection[] = [];

/** Runs what calls onnxruntime; never settles when the process is about to exit. */
async function inside<T>(work: () => Promise<T>): Promise<T> {
  if (!enter(start.state)) return new Promise(() => {});
  try {
    return await work();
  } finally {
    leave(start.state);
  }
}

function send(reply: Reply, transfer: ArrayBuffer[] = []): void {
  port.postMessage(reply, transfer);
}

async function serve(session: TokenSession): Promise<void> {
  let busy = false;
  let closing = false;
  const finish = async (): Promise<void> => {
    await inside(() => session.release());
    port.close();
  };
  const work = async (): Promise<void> => {
    busy = true;
    for (const request of waiting.values()) {
      waiting.delete(request.id);
      await answer(session, request);
    }
    busy = false;
    if (closing) await finish();
  };
  port.on('message', (request: Request) => {
    if (request.kind === 'run') waiting.set(request.id, request);
    else if (request.kind === 'project') projections.push(request.projection);
    else if (request.kind === 'cancel') {
      if (waiting.delete(request.id)) send({ kind: 'cancelled', id: request.id });
    } else {
      closing = true;
      waiting.clear();
    }
    if (!busy) void (closing ? finish() : work());
  });
}

async function answer(session: TokenSession, request: RunRequest): Promise<void> {
  try {
    const data =
      request.head === undefined
        ? await inside(() => session.encode(request))
        : pool(request, request.head, await inside(() => session.encodeInPlace(request)), session.hiddenSize);
    send({ kind: 'result', id: request.id, data }, [data.buffer as ArrayBuffer]);
  } catch (error) {
    send({ kind: 'failed', id: request.id, reason: error instanceof Error ? error.message : String(error) });
  }
}

/** The final vectors of a batch: what the pipeline would make of the token embeddings, by the same functions. */
function pool(batch: TokenBatch, head: ThreadHead, data: Float32Array, cols: number): Float32Array {
  const pooled = createPooling(head.modes).pool(
    { data, rows: batch.rows * batch.cols, cols },
    { ...batch, mask: head.mask },
  );
  return applyProjections(
    head.projections.map((place) => projections[place]!),
    pooled,
  ).data;
}

try {
  const session = await inside(() => openSession(start));
  await serve(session);
  send({ kind: 'ready', hiddenSize: session.hiddenSize });
} catch (error) {
  send({ kind: 'unusable', reason: error instanceof Error ? error.message : String(error) });
  port.close();
}
