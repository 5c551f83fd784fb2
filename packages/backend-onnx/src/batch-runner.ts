// Computes a batch on a thread: runs a session and applies a head.
import type { TokenBatch } from '@sentvec/core';
import { applyProjections, createPooling, tokenPooling } from '@sentvec/core/head';
import type { RunRequest, SessionFacts, SessionSpecification, ThreadHead } from './messages.ts';
import { openSession } from './token-session.ts';

/** A session of onnxruntime with heads. It computes one batch at a time. */
export interface BatchRunner extends SessionFacts {
  /** Adds a head. Heads are numbered from 0 in the order in which they are added. */
  addHead(head: ThreadHead): void;
  /** Computes the token embeddings of the batch, or the vectors of its head, row-major. */
  run(request: RunRequest): Promise<Float32Array>;
  /** Computes all float outputs of the model by name. */
  outputs(batch: TokenBatch): Promise<Readonly<Record<string, Float32Array>>>;
  release(): Promise<void>;
}

/** Wraps a call of onnxruntime. */
export type CallWrapper = <T>(work: () => Promise<T>) => Promise<T>;

/** The final vectors of a batch, row-major. */
type Embed = (batch: RunRequest, mask: Int32Array) => Promise<Float32Array>;

/**
 * Opens a model on this thread.
 * @param wrap wraps each call of onnxruntime
 * @throws Error with the reason why the model cannot be used
 */
export async function openRunner(specification: SessionSpecification, wrap: CallWrapper): Promise<BatchRunner> {
  const session = await wrap(() => openSession(specification));
  const { hiddenSize, pooledOutput } = session;
  const heads: Embed[] = [];
  /** The function that computes, pools and projects a batch. */
  const embedWith = ({ modes, projections }: ThreadHead): Embed => {
    if (modes === undefined) {
      return async (batch) => {
        const data = await wrap(() => session.encodeTexts(batch));
        return applyProjections(projections, { data, rows: batch.rows, cols: pooledOutput!.size }).data;
      };
    }
    const pooling = modes === 'tokens' ? tokenPooling() : createPooling(modes);
    return async (batch, mask) => {
      const data = await wrap(() => session.encodeInPlace(batch));
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
      if (pooled === undefined) return wrap(() => session.encode(request));
      return heads[pooled.head]!(request, pooled.mask);
    },
    outputs: (batch) => wrap(() => session.outputs(batch)),
    release: () => wrap(() => session.release()),
  };
}
