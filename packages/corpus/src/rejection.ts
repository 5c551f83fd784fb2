import { SentvecError, type ErrorCode } from '@sentvec/core';

/** Why a row has no vector. The codes of errors stand for a text that the model could not embed. */
export type RejectionCode =
  | 'invalid-utf8'
  | 'too-long'
  | 'invalid-json'
  | 'invalid-csv'
  | 'missing-field'
  | 'not-text'
  | 'invalid-id'
  | ErrorCode;

/** A row without a vector: a line of `rejected.jsonl`. */
export interface Rejection {
  /** The input, as it was named. */
  readonly file: string;
  /** Counted from 0 within the file. */
  readonly row: number;
  /** Where the row begins, counted from 1. Parquet has none. */
  readonly line?: number;
  readonly code: RejectionCode;
  /** A sentence for people. */
  readonly reason: string;
}

/** What made a text fail, as a rejection. What is no error of sentvec counts as a failure of the backend. */
export function rejectionOf(error: unknown): Pick<Rejection, 'code' | 'reason'> {
  const message = error instanceof Error ? error.message : String(error);
  return { code: SentvecError.is(error) ? error.code : 'backend-failed', reason: withoutRow(message) };
}

/**
 * The embedder counts rows within the list that it was given, which says nothing to the reader of a rejection: that has
 * the row of the file.
 */
function withoutRow(message: string): string {
  return message.replace(/^Row \d+/, 'The text').replaceAll(/\brow \d+/g, 'the text');
}
