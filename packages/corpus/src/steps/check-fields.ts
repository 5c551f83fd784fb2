import { SentvecError } from '@sentvec/core';
import { chunkBytes } from '../chunk.ts';
import type { CorpusOptions } from '../request.ts';
import { readChunk, type ChunkRows } from '../rows/read-rows.ts';
import { listFields, type IdType } from '../rows/row.ts';
import type { Source } from '../sources/source.ts';
import { cutSource, fieldsOf, placeCut } from './cut-source.ts';

/** Rows at the beginning of a source that are looked at. */
const sampleRows = 1000;

/**
 * Makes sure that the fields of a request are in its sources, so that a wrong name is one clear error and not a
 * rejection of every row, and finds out how ids are stored: as whole numbers when the first ids of every source are.
 *
 * @throws SentvecError `invalid-corpus` that lists the fields that there are, `invalid-argument`
 */
export async function checkFields(sources: readonly Source[], options: CorpusOptions): Promise<IdType> {
  let type: IdType = 'int64';
  for (const source of sources) {
    checkColumns(source, options);
    const ids = await sampleIds(source, options);
    if (options.idField !== null && ids.some((id) => !Number.isSafeInteger(id))) type = 'string';
  }
  return type;
}

function checkColumns(source: Source, options: CorpusOptions): void {
  if (source.format === 'text') {
    const other = fieldsOf(options).find((field) => field !== options.textField);
    if (other === undefined) return;
    throw new SentvecError(
      'invalid-argument',
      `${source.name} is plain text: it has no field "${other}". Use JSON lines, CSV or Parquet for fields.`,
    );
  }
  const { columns } = source;
  const missing = columns && fieldsOf(options).find((field) => !columns.includes(field));
  if (missing === undefined) return;
  const message = `${source.name} has no column "${missing}"; it has ${listFields(columns ?? [])}. ${remedy(missing, options)}`;
  throw new SentvecError('invalid-corpus', message, { file: source.name, fields: columns });
}

/** The values of the id field in the first rows. */
async function sampleIds(source: Source, options: CorpusOptions): Promise<unknown[]> {
  const { textField, idField } = options;
  const { rows, rejections } = await readSample(source, options);
  const wrongField = rejections.find(({ code }) => code === 'missing-field' || code === 'not-text');
  if (rows.length === 0 && wrongField) {
    const { file, row, line, reason } = wrongField;
    const message = `No row at the beginning of ${file} has a text. Row ${row}: ${reason} ${remedy(textField, options)}`;
    throw new SentvecError('invalid-corpus', message, { file, row, line });
  }
  const ids = rows.map(({ values }) => values[0]).filter((id) => id !== null);
  if (idField !== null && rows.length > 0 && ids.length === 0) {
    const message = `No row at the beginning of ${source.name} has an id in "${idField}". ${remedy(idField, options)}`;
    throw new SentvecError('invalid-corpus', message, { file: source.name });
  }
  return idField === null ? [] : ids;
}

/** The first rows, with the id field as their only kept column. */
async function readSample(source: Source, options: CorpusOptions): Promise<ChunkRows> {
  const { textField, idField } = options;
  for await (const cut of cutSource(source, options, { rows: sampleRows, bytes: chunkBytes })) {
    const chunk = placeCut(cut, source, { index: 0, firstRow: 0 });
    return readChunk(chunk, options.split, {
      textField,
      idField: null,
      idType: 'int64',
      columns: idField === null ? [] : [idField],
    });
  }
  return { rows: [], rejections: [] };
}

function remedy(field: string, { textField, idField }: CorpusOptions): string {
  if (field === textField) return 'Name the one that holds the text by --text.';
  return field === idField ? 'Name the one that holds the ids by --id.' : 'Keep columns that are there.';
}
