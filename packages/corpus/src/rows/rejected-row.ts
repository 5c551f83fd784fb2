import { SentvecError, type ErrorCode } from '@sentvec/core';
import type { RowPosition } from './row.ts';

/** Why a row has no vector. An error code means that the model could not embed its text. */
export type RejectedRowCode =
  | 'invalid-utf8'
  | 'too-long'
  | 'invalid-json'
  | 'invalid-csv'
  | 'missing-field'
  | 'not-text'
  | 'invalid-id'
  | 'invalid-value'
  | ErrorCode;

/** A row without a vector: a line of the list of rejected rows. */
export interface RejectedRow {
  /** The input, as it was named. */
  readonly file: string;
  /** Counted from 0 within the file. */
  readonly row: number;
  /** Where the row begins, counted from 1. Parquet has none. */
  readonly line?: number | undefined;
  readonly code: RejectedRowCode;
  /** A sentence for people. */
  readonly reason: string;
}

/** A row without a vector, and why. */
export function rejectRow(
  { file, inputRow, line }: Pick<RowPosition, 'file' | 'inputRow' | 'line'>,
  code: RejectedRowCode,
  reason: string,
): RejectedRow {
  return { file, row: inputRow, ...(line !== undefined && { line }), code, reason };
}

/**
 * A row whose text the model could not embed. An error that is not sentvec's own counts as a failure of the backend.
 */
export function rejectRowByError(
  position: Pick<RowPosition, 'file' | 'inputRow' | 'line'>,
  error: unknown,
): RejectedRow {
  const message = error instanceof Error ? error.message : String(error);
  return rejectRow(position, SentvecError.is(error) ? error.code : 'backend-failed', withoutRow(message));
}

/** The embedder counts rows within the list of texts that it got. The rejected row has the row of the file. */
function withoutRow(message: string): string {
  return message.replace(/^Row \d+/, 'The text').replaceAll(/\brow \d+/g, 'the text');
}
