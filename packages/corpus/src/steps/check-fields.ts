/** Makes sure, before anything is embedded, that the fields of a request are in its inputs. */
import { SentvecError, type ErrorDetails } from '@sentvec/core';
import { chunkBytes } from '../chunk.ts';
import type { InspectedInput } from '../inputs/inspect-input.ts';
import type { CorpusOptions } from '../request.ts';
import { readChunk, type ChunkRows } from '../rows/read-chunk.ts';
import { listFields, type IdType } from '../rows/row.ts';
import { fieldsOf, splitInput, toChunk } from '../rows/split-input.ts';

/** Rows at the beginning of an input that are looked at. */
const sampleRows = 1000;

/**
 * Refuses fields that are not in the inputs, so that a wrong name is one clear error and not a rejected row for every
 * row. Finds out how ids are stored: as whole numbers when the first ids of every input are.
 *
 * @throws SentvecError `invalid-corpus` that lists the fields that there are, `invalid-argument`
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
    const message = `${name} is plain text: it has no field "${other}". Use JSON lines, CSV or Parquet for fields.`;
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
    const problem = `No row at the beginning of ${file} has a text. Row ${row}: ${reason}`;
    throw wrongFieldError(problem, { file, row, line }, textField, options);
  }
  if (idField === null) return [];
  const ids = rows.map(({ values }) => values[0]).filter((id) => id !== null && !isMissingNumber(id, input));
  if (rows.length > 0 && ids.length === 0) {
    const problem = `No row at the beginning of ${input.name} has an id in "${idField}".`;
    throw wrongFieldError(problem, { file: input.name }, idField, options);
  }
  return ids;
}

/** Whether an id is NaN or infinite, in a column of numbers or in one of texts: see `textOf` of the Parquet reader. */
function isMissingNumber(id: unknown, { format }: InspectedInput): boolean {
  return format === 'parquet' && (id === 'NaN' || id === 'Infinity' || id === '-Infinity');
}

/** The first rows, with the id field as their only kept column. */
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
        : ['columns', 'what to keep'];
  const message = `${problem} Name the one that holds ${holds} with \`${option}\`.`;
  return new SentvecError('invalid-corpus', message, details);
}
