import { SentvecError, type ErrorCode } from '@sentvec/core';
import type { RowPosition } from './row.ts';

/** Why a row was rejected. The code of a SentvecError means that the model could not embed the text. */
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

/** A rejected row, which has no vector: a line in the list of rejected rows. */
export interface RejectedRow {
  /** The input, as the user named it. */
  readonly file: string;
  /** Index of the row within the file, from 0. */
  readonly row: number;
  /** Line on which the row begins, from 1. Absent for Parquet. */
  readonly line?: number | undefined;
  readonly code: RejectedRowCode;
  /** An explanation in a sentence. */
  readonly reason: string;
}

/** Makes a rejected row. */
export function rejectRow(
  { file, inputRow, line }: Pick<RowPosition, 'file' | 'inputRow' | 'line'>,
  code: RejectedRowCode,
  reason: string,
): RejectedRow {
  return { file, row: inputRow, ...(line !== undefined && { line }), code, reason };
}

/**
 * Makes a rejected row for a text that the model could not embed. An error that is not a SentvecError counts as
 * `backend-failed`.
 */
export function rejectRowByError(
  position: Pick<RowPosition, 'file' | 'inputRow' | 'line'>,
  error: unknown,
): RejectedRow {
  const message = error instanceof Error ? error.message : String(error);
  return rejectRow(position, SentvecError.is(error) ? error.code : 'backend-failed', withoutRow(message));
}

/**
 * Removes the embedder's row number from a message. It is an index into a batch, but the rejected row has that of the
 * file.
 */
function withoutRow(message: string): string {
  return message.replace(/^Row \d+/, 'The text').replaceAll(/\brow \d+/g, 'the text');
}
