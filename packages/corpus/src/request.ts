import { quantizedPrecisions, SentvecError, type QuantizedPrecision } from '@sentvec/core';

/** Formats of a corpus. `tsv` is CSV with tabs. */
export type InputFormat = 'jsonl' | 'text' | 'csv' | 'tsv' | 'parquet';

/** Formats whose rows are ranges of bytes. */
export type ByteFormat = Exclude<InputFormat, 'parquet'>;

/** Formats of vectors on the disk. */
export type OutputFormat = 'parquet' | 'npy' | 'arrow' | 'jsonl';

/** How an entry of a vector is stored. `binary` and `ubinary` pack eight entries into a byte. */
export type Precision = 'float32' | QuantizedPrecision;

/** What to embed, and how. */
export interface CorpusRequest {
  /**
   * Files, globs, or `-` for standard input; plain or gzip. Read in this order, files of a glob sorted; a file is read
   * once, however often it is named.
   */
  readonly inputs: readonly string[];
  /** The folder that gets the shards and the manifest. Made when it does not exist. */
  readonly output: string;
  /** Default `auto`: by the file's name, else by its first bytes. */
  readonly inputFormat?: InputFormat | 'auto' | undefined;
  /**
   * What is a row of plain text: a `line`, or a `paragraph` (lines up to a blank one, joined by spaces). Default
   * `line`.
   */
  readonly split?: 'line' | 'paragraph' | undefined;
  /** The field or column that holds the text. Default `text`. Plain text has only this column. */
  readonly textField?: string | undefined;
  /** The field or column that holds a row's id. Default: its number in the whole corpus, counted from 0. */
  readonly idField?: string | undefined;
  /** Default `parquet`. */
  readonly format?: OutputFormat | undefined;
  /**
   * Fields that are written beside the vectors. Default: the text, so that a search can show it; for `jsonl` nothing.
   */
  readonly columns?: readonly string[] | undefined;
  /** Name of one of the model's prompts. Default: the model's default prompt, if it has one. `null`: none. */
  readonly prompt?: string | null | undefined;
  /** Keeps the first entries of each vector. */
  readonly truncateDim?: number | undefined;
  /** Default `float32`. The ranges of `int8` and `uint8` come from the first 1,024 texts of the corpus. */
  readonly precision?: Precision | undefined;
  /** Tokens (rows × longest) of a batch. Default: the backend's preference. */
  readonly batchTokens?: number | undefined;
  /** The most rows of a shard. Default 2,048. */
  readonly chunkRows?: number | undefined;
  /** A row that cannot be embedded is an error. Default: it is written to `rejected.jsonl`, and the work goes on. */
  readonly strict?: boolean | undefined;
  /** Continues an unfinished run; of a finished one, does nothing. Default: both are errors. */
  readonly resume?: boolean | undefined;
  /** Replaces what an earlier run left in the output folder. */
  readonly overwrite?: boolean | undefined;
  /** Opens a finished run again and embeds the chunks with rejected rows once more. The other shards are kept. */
  readonly retryRejected?: boolean | undefined;
}

/** The part of a request that decides the bytes of the output, with every default filled in. JSON. */
export interface CorpusOptions {
  readonly inputFormat: InputFormat | 'auto';
  readonly split: 'line' | 'paragraph';
  readonly textField: string;
  readonly idField: string | null;
  readonly format: OutputFormat;
  readonly columns: readonly string[];
  /** `default` stands for the model's default prompt. */
  readonly prompt: { readonly name: string } | 'default' | 'none';
  readonly truncateDim: number | null;
  readonly precision: Precision;
  readonly batchTokens: number;
  readonly chunkRows: number;
}

const choices = {
  inputFormat: ['auto', 'jsonl', 'text', 'csv', 'tsv', 'parquet'],
  split: ['line', 'paragraph'],
  format: ['parquet', 'npy', 'arrow', 'jsonl'],
  precision: ['float32', ...quantizedPrecisions],
} as const;

const largestChunk = 65_536;

/**
 * Checks a request and fills in the defaults.
 *
 * @param preferredBatchTokens what the backend likes best. It is pinned here, so that every worker cuts the same
 * batches.
 * @throws SentvecError `invalid-argument`
 */
export function resolveOptions(request: CorpusRequest, preferredBatchTokens: number): CorpusOptions {
  for (const name of ['inputFormat', 'split', 'format', 'precision'] as const)
    mustBeOneOf(name, request[name], choices[name]);
  for (const name of ['truncateDim', 'batchTokens', 'chunkRows'] as const) mustBeCount(name, request[name]);
  const { inputs, output, textField = 'text', format = 'parquet', chunkRows = 2048 } = request;
  if (inputs.length === 0) invalid('There is nothing to embed: name at least one input file, or - for standard input.');
  if (output === '') invalid('The output folder has no name.');
  if (chunkRows > largestChunk) invalid(`chunkRows is ${chunkRows}; at most ${largestChunk} rows fit in a chunk.`);
  if ([request.resume, request.overwrite, request.retryRejected].filter(Boolean).length > 1) {
    invalid('resume, overwrite and retryRejected exclude each other: choose one.');
  }
  const columns = [...new Set(request.columns ?? (format === 'jsonl' ? [] : [textField]))];
  for (const column of columns) {
    if (column === 'id' || column === 'embedding')
      invalid(`The column "${column}" cannot be kept: the output has a column of that name.`);
  }
  return {
    inputFormat: request.inputFormat ?? 'auto',
    split: request.split ?? 'line',
    textField,
    idField: request.idField ?? null,
    format,
    columns,
    prompt: request.prompt === undefined ? 'default' : request.prompt === null ? 'none' : { name: request.prompt },
    truncateDim: request.truncateDim ?? null,
    precision: request.precision ?? 'float32',
    batchTokens: request.batchTokens ?? preferredBatchTokens,
    chunkRows,
  };
}

function mustBeOneOf(name: string, value: string | undefined, allowed: readonly string[]): void {
  if (value !== undefined && !allowed.includes(value))
    invalid(`${name} is "${value}"; it can be ${allowed.join(', ')}.`);
}

function mustBeCount(name: string, value: number | undefined): void {
  if (value !== undefined && !(Number.isSafeInteger(value) && value > 0))
    invalid(`${name} is ${value}; it must be a whole number above 0.`);
}

function invalid(message: string): never {
  throw new SentvecError('invalid-argument', message);
}
