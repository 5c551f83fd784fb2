import { SentvecError } from '@sentvec/core';
import type { ByteFormat, CorpusOptions } from '../request.ts';
import { csvScanner } from './csv-scanner.ts';
import { lineScanner, paragraphScanner, type OnRow, type RowScanner, type ScanStart } from './row-scanner.ts';

/** The byte between the fields of a format of CSV's kind. */
export const delimiters = { csv: ',', tsv: '\t' } as const;

/** The scanner that finds the rows of a format. */
export function scannerOf(
  format: ByteFormat,
  split: CorpusOptions['split'],
  start: ScanStart,
  onRow: OnRow,
): RowScanner {
  if (format === 'jsonl') return lineScanner(start, onRow, { skipBlank: true });
  if (format === 'text')
    return split === 'line' ? lineScanner(start, onRow, { skipBlank: false }) : paragraphScanner(start, onRow);
  return csvScanner(start, onRow, delimiters[format].charCodeAt(0));
}

/** The error for a quote of CSV that nothing closes. */
export function unclosedQuoteError(file: string, line: number): SentvecError {
  const message = `${file}: the quote that opens a field on line ${line} is never closed. Close it, or double it if it is part of the text.`;
  return new SentvecError('invalid-corpus', message, { file, line });
}
