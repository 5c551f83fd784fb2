/** Checks, before anything is embedded, that the inputs have the fields of the request. */
import { SentvecError, type ErrorDetails } from '@sentvec/core';
import { chunkBytes } from '../chunk.ts';
import type { InspectedInput } from '../inputs/inspect-input.ts';
import type { CorpusOptions } from '../request.ts';
import { readChunk, type ChunkRows } from '../rows/read-chunk.ts';
import { listFields, type IdType } from '../rows/row.ts';
import { fieldsOf, splitInput, toChunk } from '../rows/split-input.ts';

/** How many rows at the beginning of an input are checked. */
const sampleRows = 1000;

/**
 * Throws if the inputs lack a field, so that a misspelt name gives one clear error and not a rejected row for every
 * row. Also determines the id type: `int64` if the first ids of every input are integers.
 *
 * @throws SentvecError `invalid-corpus`, with a list of the existing fields; `invalid-argument`
 */
export async function checkFields(
  inputs: readonly InspectedInput[],
  options: CorpusOptions,
  signal?: AbortSignal,
): Promise<IdType> {
  let type: IdType = 'int64';
  for (const input of inputs) {
    checkColumns(input, options);
    const ids = await sampleIds(input, options, signal);
    if (options.idField !== null && ids.some((id) => !Number.isSafeInteger(id))) type = 'string';
  }
  return type;
}

function checkColumns({ name, format, columns }: InspectedInput, options: CorpusOptions): void {
  const fields = fieldsOf(options);
  if (format === 'text') {
    const other = fields.find((field) => field !== options.textField);
    if (other === undefined) return;
    const message = `${name} is plain text, so it has no field "${other}". Use JSON lines, CSV or Parquet for fields.`;
    throw new SentvecError('invalid-argument', message, { file: name });
  }
  if (columns === undefined) return;
  for (const field of fields) {
    const count = columns.filter((column) => column === field).length;
    if (count === 1) continue;
    const problem = count === 0 ? `no column "${field}"; it has ${listFields(columns)}` : `two columns "${field}"`;
    throw wrongFieldError(`${name} has ${problem}.`, { file: name, fields: columns }, field, options);
  }
}

/** The values of the id field in the first rows. */
async function sampleIds(
  input: InspectedInput,
  options: CorpusOptions,
  signal: AbortSignal | undefined,
): Promise<unknown[]> {
  const { textField, idField } = options;
  const { rows, rejectedRows } = await readSample(input, options, signal);
  const wrongField = rejectedRows.find(({ code }) => code === 'missing-field' || code === 'not-text');
  if (rows.length === 0 && wrongField) {
    const { file, row, line, reason } = wrongField;
    const problem = `None of the first rows of ${file} has a text. Row ${row}: ${reason}`;
    throw wrongFieldError(problem, { file, row, line }, textField, options);
  }
  if (idField === null) return [];
  const ids = rows.map(({ values }) => values[0]).filter((id) => id !== null && !isMissingNumber(id, input));
  if (rows.length > 0 && ids.length === 0) {
    const problem = `None of the first rows of ${input.name} has an id in "${idField}".`;
    throw wrongFieldError(problem, { file: input.name }, idField, options);
  }
  return ids;
}

/** Whether an id is NaN or infinite, as a number or as a text: see `textOf` of the Parquet reader. */
function isMissingNumber(id: unknown, { format }: InspectedInput): boolean {
  return format === 'parquet' && (id === 'NaN' || id === 'Infinity' || id === '-Infinity');
}

/** Reads the first rows, with the id field as the only kept column. */
async function readSample(
  input: InspectedInput,
  options: CorpusOptions,
  signal: AbortSignal | undefined,
): Promise<Pick<ChunkRows, 'rows' | 'rejectedRows'>> {
  const { textField, idField } = options;
  const columns = idField === null ? [] : [idField];
  for await (const split of splitInput(input, options, { rows: sampleRows, bytes: chunkBytes }, signal)) {
    const chunk = toChunk(split, input, { index: 0, firstRow: 0 });
    const fields = { textField, idField: null, idType: 'int64', columns } as const;
    return readChunk(chunk, options.split, fields, signal);
  }
  return { rows: [], rejectedRows: [] };
}

function wrongFieldError(
  problem: string,
  details: ErrorDetails,
  field: string,
  { textField, idField }: CorpusOptions,
): SentvecError {
  const [option, holds] =
    field === textField
      ? ['textField', 'the text']
      : field === idField
        ? ['idField', 'the ids']
        : ['columns', 'the values to keep'];
  const message = `${problem} Set \`${option}\` to the field with ${holds}.`;
  return new SentvecError('invalid-corpus', message, details);
}
