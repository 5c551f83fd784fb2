/** What to embed and how: a request as a caller writes it, and its options with every default filled in. */
import { quantizedPrecisions, SentvecError, type QuantizedPrecision, type TextRole } from '@sentvec/core';
import * as v from 'valibot';

/** Formats of a corpus. `tsv` is CSV with tabs. */
export type InputFormat = 'jsonl' | 'text' | 'csv' | 'tsv' | 'parquet';

/** Formats whose rows are ranges of bytes. */
export type ByteFormat = Exclude<InputFormat, 'parquet'>;

/** Formats of vectors on the disk. */
export type OutputFormat = 'parquet' | 'npy' | 'arrow' | 'jsonl';

/** How an entry of a vector is stored. `binary` and `ubinary` pack eight entries into a byte. */
export type Precision = 'float32' | QuantizedPrecision;

/** How to embed rows that may be longer than the model reads: see `embedPieces` of an embedder. */
export interface CorpusPieces {
  /** The most tokens of a piece, special tokens and prompt included. */
  readonly maxTokens: number;
  /**
   * Tokens from the end of a piece with which the next one begins.
   * @default 0
   */
  readonly overlapTokens?: number | undefined;
  /**
   * Whether pieces end after whole sentences and before headings, or after any word.
   * @default 'sentences'
   */
  readonly splitBy?: 'tokens' | 'sentences' | undefined;
  /**
   * Whether the model reads the whole text before its pieces are pooled.
   * @default false
   */
  readonly lateChunking?: boolean | undefined;
  /**
   * One vector for each row, the mean of its pieces, instead of one for each piece.
   * @default false
   */
  readonly mean?: boolean | undefined;
}

/** What to embed, and how. */
export interface CorpusRequest {
  /**
   * Files, globs, or `-` for standard input; plain or gzip. Also `s3://bucket/key`, `gs://…`, `az://…` and
   * `hf://datasets/owner/name/file`, with globs, and `https://host/file` of a server that answers ranges. Read in this order, files of a glob sorted; a
   * file is read once, however often it is named.
   */
  readonly inputs: readonly string[];
  /** The folder that gets the shards and the manifest. Made when it does not exist. */
  readonly output: string;
  /**
   * `auto`: by the file's name, else by its first bytes.
   * @default 'auto'
   */
  readonly inputFormat?: InputFormat | 'auto' | undefined;
  /**
   * What is a row of plain text: a `line`, or a `paragraph` (lines up to a blank one, joined by spaces).
   * @default 'line'
   */
  readonly split?: 'line' | 'paragraph' | undefined;
  /**
   * The field or column that holds the text. Plain text has only this column.
   * @default 'text'
   */
  readonly textField?: string | undefined;
  /**
   * The field or column that holds a row's id.
   * @default the row's number in the whole corpus, counted from 0
   */
  readonly idField?: string | undefined;
  /**
   * File format of the vectors.
   * @default 'parquet'
   */
  readonly format?: OutputFormat | undefined;
  /**
   * Fields that are written beside the vectors.
   * @default the text, so that a search can show it; with the format `jsonl` none
   */
  readonly columns?: readonly string[] | undefined;
  /**
   * What the texts are in a search: it chooses the prompt, the route and the task that the model has for such texts.
   * @default 'document'
   */
  readonly as?: TextRole | undefined;
  /**
   * Name of one of the model's prompts. `null`: none.
   * @default the one for `as`, else the model's default prompt, if it has one
   */
  readonly prompt?: string | null | undefined;
  /**
   * For a model with a Router: the way that texts go.
   * @default `as`
   */
  readonly route?: string | undefined;
  /**
   * For a model with adapters for tasks: whose adapter is used.
   * @default the one for `as`
   */
  readonly task?: string | undefined;
  /**
   * How many entries of each vector are stored, from the first on.
   * @default all
   */
  readonly truncateDim?: number | undefined;
  /**
   * For a sparse model: keeps the largest entries of each vector, at most this many.
   * @default all
   */
  readonly maxActiveDims?: number | undefined;
  /**
   * Divides each vector by its length, whatever the model does: `truncateDim` leaves shorter vectors as they are.
   * @default false
   */
  readonly normalize?: boolean | undefined;
  /**
   * How an entry is stored. The ranges of `int8` and `uint8` come from the first 1,024 texts of the corpus.
   * @default 'float32'
   */
  readonly precision?: Precision | undefined;
  /**
   * Tokens (rows × longest) of a batch.
   * @default the backend's preference
   */
  readonly batchTokens?: number | undefined;
  /**
   * The most rows of a shard, up to 65,536.
   * @default 2048
   */
  readonly chunkRows?: number | undefined;
  /**
   * Embeds each row in pieces. The output has a vector for each piece, with the id and the columns of its row, its own
   * text, and the columns `piece` (its number in the row), `start` and `end` (in UTF-16 units of the row's text). A row
   * of which a piece cannot be embedded is rejected as a whole.
   * @default none: a row that is longer than the model reads is truncated
   */
  readonly pieces?: CorpusPieces | undefined;
  /**
   * Makes a row that cannot be embedded an error. Otherwise it becomes a line of the list of rejected rows, and the work
   * goes on.
   * @default false
   */
  readonly strict?: boolean | undefined;
  /**
   * Continues an unfinished run, and makes the shards again that a finished one has lost. Otherwise both are errors.
   * Rows of an unfinished run that have changed since are embedded again; those of a finished one are an error.
   * @default false
   */
  readonly resume?: boolean | undefined;
  /**
   * Makes the output what embedding anew would make it, but embeds only chunks whose rows have changed: rows and inputs
   * that are new are added, those that are gone are removed. Begins from nothing in an empty folder, and continues an
   * unfinished run. Readers have the earlier output until the new one is complete.
   * @default false
   */
  readonly update?: boolean | undefined;
  /**
   * Replaces what an earlier run left in the output folder. Readers have that until the new output is complete.
   * @default false
   */
  readonly overwrite?: boolean | undefined;
  /**
   * Opens a finished run again and embeds the chunks with rejected rows once more, and those whose rows have changed.
   * The other shards are kept.
   * @default false
   */
  readonly retryRejected?: boolean | undefined;
  /**
   * With `resume`, `update` or `retryRejected`: reads every shard that is kept and compares its hash; a damaged one is made
   * again. Otherwise its size is compared.
   * @default false
   */
  readonly verify?: boolean | undefined;
}

/** The part of a request that decides the bytes of the output, with every default filled in. JSON. */
export interface CorpusOptions {
  readonly inputFormat: InputFormat | 'auto';
  readonly split: 'line' | 'paragraph';
  readonly textField: string;
  readonly idField: string | null;
  readonly format: OutputFormat;
  readonly columns: readonly string[];
  /** Absent in outputs from before roles existed: their texts got the model's default prompt and default route. */
  readonly as?: TextRole | undefined;
  /** `default` is the prompt that `as` chooses. */
  readonly prompt: { readonly name: string } | 'default' | 'none';
  /** Absent: the one that `as` chooses. */
  readonly route?: string | undefined;
  /** Absent: the one that `as` chooses. */
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

/** Names of the columns with the position of a piece in the text of its row. */
export const pieceColumns = ['piece', 'start', 'end'] as const;

/** Whether the output has a vector for each piece of a row. */
export function hasPieceRows({ pieces }: Pick<CorpusOptions, 'pieces'>): boolean {
  return pieces !== undefined && !pieces.mean;
}

const inputFormats = ['jsonl', 'text', 'csv', 'tsv', 'parquet'] as const;
const outputFormats = ['parquet', 'npy', 'arrow', 'jsonl'] as const;
const maxChunkRows = 65_536;

function oneOf<const Choice extends string>(choices: readonly Choice[]): v.GenericSchema<Choice> {
  return v.picklist(choices, `It can be ${choices.join(', ')}.`);
}

const countMessage = 'It must be a whole number above 0.';
const count = v.pipe(v.number(countMessage), v.safeInteger(countMessage), v.minValue(1, countMessage));
const countOrNone = v.pipe(v.number(countMessage), v.safeInteger(countMessage), v.minValue(0, 'It must be 0 or more.'));
const text = v.pipe(v.string(), v.maxLength(4096));
const name = v.pipe(text, v.minLength(1, 'An input has an empty name.'));

/** Schemas of the choices that a request has. */
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

/** Whether a value has the form of a request. What the values mean is checked where they are used. */
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
 * Checks a request and fills in the defaults.
 *
 * @param preferredBatchTokens the backend's preference. It becomes a part of the options, so that every worker makes
 * the same batches.
 * @throws SentvecError `invalid-argument`
 */
export function resolveOptions(request: CorpusRequest, preferredBatchTokens: number): CorpusOptions {
  checkForm(request);
  const { textField = 'text', format = 'parquet' } = request;
  const exclusive = (['resume', 'update', 'overwrite', 'retryRejected'] as const).filter((option) => request[option]);
  if (exclusive.length > 1) {
    const names = exclusive.map((option) => `\`${option}\``).join(' and ');
    throw new SentvecError('invalid-argument', `${names} exclude each other. Choose one.`);
  }
  const columns = [...new Set(request.columns ?? (format === 'jsonl' ? [] : [textField]))];
  const wanted = request.pieces && resolvePieces(request.pieces);
  const own = new Set(['id', 'embedding', ...(hasPieceRows({ pieces: wanted }) ? pieceColumns : [])]);
  const taken = columns.find((column) => own.has(column));
  if (taken !== undefined) {
    const message = `The column "${taken}" cannot be kept: the output has a column of that name.`;
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
