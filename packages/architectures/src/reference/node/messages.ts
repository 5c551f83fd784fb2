import type { TokenBatch, TokenEmbeddings } from '@sentvec/core';

/** See `ThreadProtocol` of `@sentvec/platform/node`. */
export interface ReferenceProtocol {
  /** Where the files of the model are. */
  readonly data: { readonly directory: string; readonly name: string };
  readonly ready: undefined;
  readonly calls: { compute(batch: TokenBatch): TokenEmbeddings };
  readonly programCalls: object;
}
