// A session with the heads that it applies: what a thread does with a batch.
import type { TokenBatch } from '@sentvec/core';
import { applyProjections, createPooling, tokenPooling } from '@sentvec/core/head';
import type { RunRequest, SessionFacts, SessionSpecification, ThreadHead } from './messages.ts';
import { openSession } from './token-session.ts';

/** A session of onnxruntime, and the heads for its batches. It computes one batch at a time. */
export interface BatchRunner extends SessionFacts {
  /** Heads have numbers, in the order in which they are added. */
  addHead(head: ThreadHead): void;
  /** Token embeddings of the batch, or the vectors that the head computes from them, row-major. */
  run(request: RunRequest): Promise<Float32Array>;
  /** All outputs of the model that are floats, by name. */
  outputs(batch: TokenBatch): Promise<Readonly<Record<string, Float32Array>>>;
  release(): Promise<void>;
}

/** Calls what calls onnxruntime. */
export type Inside = <T>(work: () => Promise<T>) => Promise<T>;

/** The final vectors of a batch, row-major. */
type Embed = (batch: RunRequest, mask: Int32Array) => Promise<Float32Array>;

/**
 * Opens the model on this thread.
 * @param inside wraps each call of onnxruntime
 * @throws Error that says what does not fit
 */
export async function openRunner(specification: SessionSpecification, inside: Inside): Promise<BatchRunner> {
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
    hiddenSize,
    pooledOutput,
    addHead: (head) => void heads.push(embedWith(head)),
    run: (request) => {
      const { pooled } = request;
      if (pooled === undefined) return inside(() => session.encode(request));
      return heads[pooled.head]!(request, pooled.mask);
    },
    outputs: (batch) => inside(() => session.outputs(batch)),
    release: () => inside(() => session.release()),
  };
}
