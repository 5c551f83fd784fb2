import type { ByteChunk } from '../chunk.ts';
import type { RejectionCode } from '../rejection.ts';
import type { CorpusOptions } from '../request.ts';
import { inspectSource } from '../sources/inspect.ts';
import { parseCsv } from './parse-csv.ts';
import { delimiters } from './scanner-of.ts';

/** A record, or what is wrong with its bytes. */
export type Decoded =
  | { readonly record: Readonly<Record<string, unknown>> }
  | { readonly code: RejectionCode; readonly reason: string };

/** Makes a record of a row's bytes, which are valid UTF-8. `index` counts the rows of the chunk. */
export type Decode = (bytes: Buffer, index: number) => Decoded;

/** How the rows of a chunk become records. */
export async function decoderOf(
  chunk: ByteChunk,
  split: CorpusOptions['split'],
  textField: string,
  rows: readonly Buffer[],
): Promise<Decode> {
  const { format } = chunk;
  if (format === 'jsonl') return decodeJson;
  if (format === 'text') return split === 'line' ? decodeLine(textField) : decodeParagraph(textField);
  const { columns = [] } = await inspectSource(chunk.source, { path: chunk.path, bytes: chunk.end }, format);
  return csvDecoder(columns, parseCsv(rows, delimiters[format]));
}

function decodeLine(textField: string): Decode {
  return (bytes) => ({ record: { [textField]: bytes.toString('utf8') } });
}

function decodeParagraph(textField: string): Decode {
  return (bytes) => {
    const lines = bytes.toString('utf8').split('\n');
    return { record: { [textField]: lines.map((line) => line.trim()).join(' ') } };
  };
}

function decodeJson(bytes: Buffer): Decoded {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch (error) {
    return {
      code: 'invalid-json',
      reason: `The line is not valid JSON: ${error instanceof Error ? error.message : String(error)}.`,
    };
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value))
    return { record: value as Record<string, unknown> };
  return { code: 'invalid-json', reason: 'The line is not a JSON object with a field for the text.' };
}

function csvDecoder(columns: readonly string[], records: readonly (readonly string[] | Error)[]): Decode {
  return (_bytes, index) => {
    const record = records[index]!;
    if (record instanceof Error)
      return { code: 'invalid-csv', reason: `The record cannot be read: ${record.message}.` };
    if (record.length !== columns.length) {
      const reason = `The record has ${record.length} fields, but the header has ${columns.length}. Quote a field that holds a delimiter.`;
      return { code: 'invalid-csv', reason };
    }
    return { record: Object.fromEntries(columns.map((column, at) => [column, record[at]])) };
  };
}
