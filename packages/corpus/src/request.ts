/** The request to embed a corpus: its types, its validation, and its defaults. */
import { quantizedPrecisions, SentvecError, type QuantizedPrecision, type TextRole } from '@sentvec/core';
import * as v from 'valibot';

/** Formats of a corpus. `tsv` is CSV with tabs. */
export type InputFormat = 'jsonl' | 'text' | 'csv' | 'tsv' | 'parquet';

/** Formats whose rows are byte ranges. */
export type ByteFormat = Exclude<InputFormat, 'parquet'>;

/** File formats of vectors. */
export type OutputFormat = 'parquet' | 'npy' | 'arrow' | 'jsonl';

/** The type of a stored vector entry. `binary` and `ubinary` pack eight entries into a byte. */
export type Precision = 'float32' | QuantizedPrecision;

/** How to split rows that may be longer than the maximum length of the model, see `embedPieces` of an embedder. */
export interface CorpusPieces {
  /** Maximum tokens of a piece, including special tokens and prompt. */
  readonly maxTokens: number;
  /**
   * How many tokens from the end of a piece are repeated at the beginning of the next one.
   * @default 0
   */
  readonly overlapTokens?: number | undefined;
  /**
   * `sentences`: pieces end after whole sentences and before headings. `tokens`: pieces end after any word.
   * @default 'sentences'
   */
  readonly splitBy?: 'tokens' | 'sentences' | undefined;
  /**
   * Late chunking: the model encodes the whole text, and then the tokens of each piece are pooled.
   * @default false
   */
  readonly lateChunking?: boolean | undefined;
  /**
   * Whether each row gets one vector, the mean of its pieces, instead of one vector per piece.
   * @default false
   */
  readonly mean?: boolean | undefined;
}

/** A request to embed a corpus. */
export interface CorpusRequest {
  /**
   * Files, globs, or `-` for standard input; plain or gzip. Also `s3://bucket/key`, `gs://…`, `az://…` and
   * `hf://datasets/owner/name/file`, with globs, and `https://host/file` if the server supports range requests. They
   * are read in this order, files of a glob sorted by name. A file that is named several times is read once.
   */
  readonly inputs: readonly string[];
  /** The folder for the shards and the manifest. It is created if it does not exist. */
  readonly output: string;
  /**
   * `auto`: detected from the file name, or else from the first bytes.
   * @default 'auto'
   */
  readonly inputFormat?: InputFormat | 'auto' | undefined;
  /**
   * The rows of plain text: each `line`, or each `paragraph` (lines up to a blank line, joined by spaces).
   * @default 'line'
   */
  readonly split?: 'line' | 'paragraph' | undefined;
  /**
   * The field or column that holds the text. Plain text has only this column.
   * @default 'text'
   */
  readonly textField?: string | undefined;
  /**
   * The field or column with the id of a row.
   * @default the index of the row in the whole corpus, from 0
   */
  readonly idField?: string | undefined;
  /**
   * File format of the vectors.
   * @default 'parquet'
   */
  readonly format?: OutputFormat | undefined;
  /**
   * Fields that are stored together with the vectors.
   * @default the text, so that a search can show it; none for the format `jsonl`
   */
  readonly columns?: readonly string[] | undefined;
  /**
   * The role of the texts in a search. It selects the prompt, the route and the task that the model has for this role.
   * @default 'document'
   */
  readonly as?: TextRole | undefined;
  /**
   * Name of one of the model's prompts; `null` for no prompt.
   * @default the prompt for `as`, or else the model's default prompt, if it has one
   */
  readonly prompt?: string | null | undefined;
  /**
   * For a model with a Router: the route of the texts.
   * @default the route for `as`
   */
  readonly route?: string | undefined;
  /**
   * For a model with task adapters: the task whose adapter is used.
   * @default the task for `as`
   */
  readonly task?: string | undefined;
  /**
   * Truncates each vector to its first `truncateDim` entries.
   * @default all
   */
  readonly truncateDim?: number | undefined;
  /**
   * For a sparse model: keeps the largest entries of each vector, at most this many.
   * @default all
   */
  readonly maxActiveDims?: number | undefined;
  /**
   * Whether to normalize each vector to length 1. Truncated vectors are not normalized otherwise.
   * @default false
   */
  readonly normalize?: boolean | undefined;
  /**
   * The type of stored entries. The ranges of `int8` and `uint8` are computed from the first 1,024 texts of the corpus.
   * @default 'float32'
   */
  readonly precision?: Precision | undefined;
  /**
   * Maximum tokens of a batch: rows × length of the longest row.
   * @default the backend's preference
   */
  readonly batchTokens?: number | undefined;
  /**
   * Maximum rows of a shard, at most 65,536.
   * @default 2048
   */
  readonly chunkRows?: number | undefined;
  /**
   * Embeds each row in pieces. The output has one vector per piece, with the id and the columns of its row, its own
   * text, and the columns `piece` (its index in the row), `start` and `end` (its position in the row's text, in UTF-16
   * code units). If a piece cannot be embedded, the whole row is rejected.
   * @default no pieces: rows are truncated to the maximum length of the model
   */
  readonly pieces?: CorpusPieces | undefined;
  /**
   * Whether a row that cannot be embedded is an error. Otherwise it is added to the list of rejected rows, and the run
   * continues.
   * @default false
   */
  readonly strict?: boolean | undefined;
  /**
   * Continues an unfinished run, and rewrites missing shards of a finished one. Without it, both are errors. Changed
   * rows are embedded again if the run is unfinished, and are an error if it is finished.
   * @default false
   */
  readonly resume?: boolean | undefined;
  /**
   * Updates the output to the current inputs, with the same result as embedding them from scratch, but embeds only
   * chunks whose rows have changed. New rows and inputs are added, missing ones are removed. It also starts in an empty
   * folder, and continues an unfinished run. Until the new output is complete, readers see the earlier one.
   * @default false
   */
  readonly update?: boolean | undefined;
  /**
   * Replaces the earlier output in the folder. Until the new output is complete, readers see the earlier one.
   * @default false
   */
  readonly overwrite?: boolean | undefined;
  /**
   * Reopens a finished run, and embeds the chunks with rejected rows again, and those whose rows have changed. All
   * other shards are kept.
   * @default false
   */
  readonly retryRejected?: boolean | undefined;
  /**
   * With `resume`, `update` or `retryRejected`: checks the hash of every existing shard, and rewrites damaged ones.
   * Without it, only the sizes are checked.
   * @default false
   */
  readonly verify?: boolean | undefined;
}

/** The options of a request that the bytes of the output depend on, with all defaults. JSON. */
export interface CorpusOptions {
  readonly inputFormat: InputFormat | 'auto';
  readonly split: 'line' | 'paragraph';
  readonly textField: string;
  readonly idField: string | null;
  readonly format: OutputFormat;
  readonly columns: readonly string[];
  /** Absent in outputs of versions without roles: these texts got the model's default prompt and route. */
  readonly as?: TextRole | undefined;
  /** `default` is the prompt for `as`. */
  readonly prompt: { readonly name: string } | 'default' | 'none';
  /** Absent: selected by `as`. */
  readonly route?: string | undefined;
  /** Absent: selected by `as`. */
  readonly task?: string | undefined;
  readonly truncateDim: number | null;
  readonly maxActiveDims?: number | undefined;
  readonly normalize: boolean;
  readonly precision: Precision;
  readonly batchTokens: number;
  readonly chunkRows: number;
  /** Absent: rows are embedded whole. */
  readonly pieces?:
    | {
        readonly maxTokens: number;
        readonly overlapTokens: number;
        readonly splitBy: 'tokens' | 'sentences';
        readonly lateChunking: boolean;
        readonly mean: boolean;
      }
    | undefined;
}

/** Names of the columns with the index and the position of a piece. */
export const pieceColumns = ['piece', 'start', 'end'] as const;

/** Whether the output has one vector per piece. */
export function hasPieceRows({ pieces }: Pick<CorpusOptions, 'pieces'>): boolean {
  return pieces !== undefined && !pieces.mean;
}

const inputFormats = ['jsonl', 'text', 'csv', 'tsv', 'parquet'] as const;
const outputFormats = ['parquet', 'npy', 'arrow', 'jsonl'] as const;
const maxChunkRows = 65_536;

function oneOf<const Choice extends string>(choices: readonly Choice[]): v.GenericSchema<Choice> {
  return v.picklist(choices, `it must be one of ${choices.join(', ')}`);
}

const countMessage = 'It must be a whole number above 0.';
const count = v.pipe(v.number(countMessage), v.safeInteger(countMessage), v.minValue(1, countMessage));
const countOrNone = v.pipe(v.number(countMessage), v.safeInteger(countMessage), v.minValue(0, 'It must be 0 or more.'));
const text = v.pipe(v.string(), v.maxLength(4096));
const name = v.pipe(text, v.minLength(1, 'An input has an empty name.'));

/** Schemas of the options with a fixed set of values. */
export const choiceSchemas: {
  readonly inputFormat: v.GenericSchema<InputFormat>;
  readonly requestedFormat: v.GenericSchema<InputFormat | 'auto'>;
  readonly split: v.GenericSchema<CorpusOptions['split']>;
  readonly format: v.GenericSchema<OutputFormat>;
  readonly precision: v.GenericSchema<Precision>;
  readonly as: v.GenericSchema<TextRole>;
  readonly splitBy: v.GenericSchema<'tokens' | 'sentences'>;
} = {
  inputFormat: oneOf(inputFormats),
  requestedFormat: oneOf(['auto', ...inputFormats]),
  split: oneOf(['line', 'paragraph']),
  format: oneOf(outputFormats),
  precision: oneOf(['float32', ...quantizedPrecisions]),
  as: oneOf(['query', 'document']),
  splitBy: oneOf(['tokens', 'sentences']),
};

const pieces: v.GenericSchema<CorpusPieces> = v.strictObject({
  maxTokens: count,
  overlapTokens: v.optional(countOrNone),
  splitBy: v.optional(choiceSchemas.splitBy),
  lateChunking: v.optional(v.boolean()),
  mean: v.optional(v.boolean()),
});

/** The schema of a request. It checks types; values are checked where they are used. */
export const corpusRequestSchema: v.GenericSchema<CorpusRequest> = v.strictObject({
  inputs: v.pipe(
    v.array(name),
    v.minLength(1, 'There is nothing to embed: name at least one input file, or - for standard input.'),
  ),
  output: v.pipe(text, v.minLength(1, 'The output folder has no name.')),
  inputFormat: v.optional(choiceSchemas.requestedFormat),
  split: v.optional(choiceSchemas.split),
  textField: v.optional(text),
  idField: v.optional(text),
  format: v.optional(choiceSchemas.format),
  columns: v.optional(v.array(text)),
  as: v.optional(choiceSchemas.as),
  prompt: v.optional(v.nullable(text)),
  route: v.optional(text),
  task: v.optional(text),
  truncateDim: v.optional(count),
  maxActiveDims: v.optional(count),
  normalize: v.optional(v.boolean()),
  precision: v.optional(choiceSchemas.precision),
  batchTokens: v.optional(count),
  chunkRows: v.optional(v.pipe(count, v.maxValue(maxChunkRows, `At most ${maxChunkRows} rows fit in a chunk.`))),
  pieces: v.optional(pieces),
  strict: v.optional(v.boolean()),
  resume: v.optional(v.boolean()),
  update: v.optional(v.boolean()),
  overwrite: v.optional(v.boolean()),
  retryRejected: v.optional(v.boolean()),
  verify: v.optional(v.boolean()),
});

/**
 * Validates a request and fills in the defaults.
 *
 * @param preferredBatchTokens the backend's preferred batch size. It is stored in the options, so that all workers make
 * the same batches.
 * @throws SentvecError `invalid-argument`
 */
export function resolveOptions(request: CorpusRequest, preferredBatchTokens: number): CorpusOptions {
  checkForm(request);
  const { textField = 'text', format = 'parquet' } = request;
  const exclusive = (['resume', 'update', 'overwrite', 'retryRejected'] as const).filter((option) => request[option]);
  if (exclusive.length > 1) {
    const names = exclusive.map((option) => `\`${option}\``).join(' and ');
    throw new SentvecError('invalid-argument', `${names} cannot be combined. Choose one.`);
  }
  const columns = [...new Set(request.columns ?? (format === 'jsonl' ? [] : [textField]))];
  const wanted = request.pieces && resolvePieces(request.pieces);
  const own = new Set(['id', 'embedding', ...(hasPieceRows({ pieces: wanted }) ? pieceColumns : [])]);
  const taken = columns.find((column) => own.has(column));
  if (taken !== undefined) {
    const message = `The column "${taken}" cannot be kept, because the output already has a column of this name. Rename it in the input.`;
    throw new SentvecError('invalid-argument', message);
  }
  return {
    inputFormat: request.inputFormat ?? 'auto',
    split: request.split ?? 'line',
    textField,
    idField: request.idField ?? null,
    format,
    columns,
    as: request.as ?? 'document',
    prompt: request.prompt === undefined ? 'default' : request.prompt === null ? 'none' : { name: request.prompt },
    ...(request.route !== undefined && { route: request.route }),
    ...(request.task !== undefined && { task: request.task }),
    truncateDim: request.truncateDim ?? null,
    ...(request.maxActiveDims !== undefined && { maxActiveDims: request.maxActiveDims }),
    normalize: request.normalize ?? false,
    precision: request.precision ?? 'float32',
    batchTokens: request.batchTokens ?? preferredBatchTokens,
    chunkRows: request.chunkRows ?? 2048,
    ...(wanted && { pieces: wanted }),
  };
}

function resolvePieces({
  maxTokens,
  overlapTokens = 0,
  splitBy = 'sentences',
  lateChunking = false,
  mean = false,
}: CorpusPieces): NonNullable<CorpusOptions['pieces']> {
  return { maxTokens, overlapTokens, splitBy, lateChunking, mean };
}

function checkForm(request: CorpusRequest): void {
  const { issues } = v.safeParse(corpusRequestSchema, request);
  if (!issues) return;
  const [issue] = issues;
  const option = v.getDotPath(issue) ?? '';
  const found = issue.type === 'min_length' ? '' : `\`${option}\` is ${issue.received}. `;
  throw new SentvecError('invalid-argument', found + issue.message);
}
