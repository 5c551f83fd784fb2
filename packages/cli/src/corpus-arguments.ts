// The flags of all commands that embed a corpus.
import type { ArgsDef, ParsedArgs } from 'citty';
import type { CorpusRequest } from '@sentvec/corpus';
import { type Command, type CommandContext, defineArguments, type TypedCommand } from './command.ts';
import { modelArguments, roleArgument } from './model.ts';
import { wholeNumber } from './parse-arguments.ts';
import { UsageError } from './usage-error.ts';

const corpusArguments = defineArguments({
  'input…': { type: 'positional', required: true, description: 'Files or globs, plain or gzip; - is standard input.' },
  output: { type: 'string', alias: 'o', required: true, valueHint: 'DIR', description: 'The folder for the vectors.' },
  text: { type: 'string', valueHint: 'FIELD', description: 'The field or column with the text. Default: text.' },
  id: {
    type: 'string',
    valueHint: 'FIELD',
    description: 'The field or column with the id of a row. Default: the row number, from 0.',
  },
  columns: {
    type: 'string',
    valueHint: 'A,B',
    description: 'Fields to store with the vectors. Default: the text; none for jsonl.',
  },
  'input-format': {
    type: 'enum',
    options: ['auto', 'jsonl', 'text', 'csv', 'tsv', 'parquet'],
    description: 'The input format. Default: detected from the file name or the first bytes.',
  },
  split: { type: 'enum', options: ['line', 'paragraph'], description: 'The rows of plain text. Default: line.' },
  format: {
    type: 'enum',
    options: ['parquet', 'npy', 'arrow', 'jsonl'],
    description: 'The output format. Default: parquet.',
  },
  as: {
    ...roleArgument,
    description:
      'The role of the texts in a search; it selects the prompt, the route and the task of the model. Default: document.',
  },
  prompt: {
    type: 'string',
    valueHint: 'NAME',
    description: "Name of one of the model's prompts. Default: the prompt for --as.",
  },
  'without-prompt': { type: 'boolean', description: 'Use no prompt.' },
  route: { ...modelArguments.route, description: `${modelArguments.route.description} Default: the one for --as.` },
  task: { ...modelArguments.task, description: `${modelArguments.task.description} Default: the one for --as.` },
  'truncate-dim': {
    type: 'string',
    valueHint: 'N',
    description: 'Truncate each vector to its first N entries, without normalizing.',
  },
  'max-active-dims': {
    type: 'string',
    valueHint: 'N',
    description: 'For a sparse model (SPLADE): keep the N largest entries of each vector.',
  },
  normalize: { type: 'boolean', description: 'Normalize each vector to length 1.' },
  chunk: {
    type: 'string',
    valueHint: 'TOKENS',
    description:
      'Embed each row in pieces of at most N tokens, with one vector per piece. Default: longer rows are truncated.',
  },
  overlap: {
    type: 'string',
    valueHint: 'N',
    description: 'How many tokens of a piece are repeated in the next one. Default: 0.',
  },
  'chunk-by': {
    type: 'enum',
    options: ['sentences', 'tokens'],
    description:
      'sentences: pieces end after sentences and before headings. tokens: after any word. Default: sentences.',
  },
  'chunk-mean': { type: 'boolean', description: 'One vector per row: the mean of its pieces.' },
  'late-chunking': {
    type: 'boolean',
    description: 'Late chunking: encode the whole row, then pool the tokens of each piece.',
  },
  precision: {
    type: 'enum',
    options: ['float32', 'int8', 'uint8', 'binary', 'ubinary'],
    description: 'The type of stored vector entries. Default: float32.',
  },
  'batch-tokens': {
    type: 'string',
    valueHint: 'N',
    description: 'Maximum tokens of a batch: rows × longest row. Default: depends on the backend.',
  },
  'shard-rows': { type: 'string', valueHint: 'N', description: 'Maximum rows of a shard. Default: 2048.' },
  resume: { type: 'boolean', description: 'Continue an interrupted run; rewrite missing shards of a finished one.' },
  update: {
    type: 'boolean',
    description: 'Update an earlier output: embed changed rows, remove missing ones, keep the rest.',
  },
  overwrite: { type: 'boolean', description: 'Replace an earlier output in the folder.' },
  'retry-rejected': {
    type: 'boolean',
    description: 'Embed the chunks with rejected or changed rows of a finished run again.',
  },
  verify: { type: 'boolean', description: 'Check the hashes of existing shards, not only their sizes.' },
  strict: { type: 'boolean', description: 'A row that cannot be embedded ends the run (exit code 3).' },
});

type CorpusFlags = ParsedArgs<typeof corpusArguments>;

/**
 * A command that embeds a corpus. Its `run` gets the request that was made from the flags; `Args` are its other flags.
 */
export interface CorpusCommand<Args extends ArgsDef> extends Omit<TypedCommand<Args>, 'run'> {
  run(request: CorpusRequest, context: CommandContext<ParsedArgs<Args>>): Promise<number | void>;
}

/**
 * Declares a command that embeds a corpus, here or on workers. Its `run` throws a UsageError for flags that cannot be
 * combined.
 */
export function defineCorpusCommand<const Args extends ArgsDef>(command: CorpusCommand<Args>): Command {
  return {
    ...command,
    args: { ...corpusArguments, ...command.args },
    run: async (context) => {
      const request = readRequest(context.args as CorpusFlags, context.positionals);
      return command.run(request, context as CommandContext<ParsedArgs<Args>>);
    },
  };
}

function readRequest(args: CorpusFlags, positionals: readonly string[]): CorpusRequest {
  if (args.prompt !== undefined && args['without-prompt'])
    throw new UsageError('--prompt and --without-prompt cannot be combined. Remove one of them.');
  const exclusive = (['resume', 'update', 'overwrite', 'retry-rejected'] as const).filter((flag) => args[flag]);
  if (exclusive.length > 1) throw new UsageError(`--${exclusive.join(' and --')} cannot be combined. Choose one.`);
  return {
    inputs: positionals,
    output: args.output,
    inputFormat: args['input-format'],
    split: args.split,
    textField: args.text,
    idField: args.id,
    columns: args.columns?.split(',').map((name) => name.trim()),
    format: args.format,
    as: args.as,
    prompt: args['without-prompt'] ? null : args.prompt,
    route: args.route,
    task: args.task,
    truncateDim: wholeNumber(args['truncate-dim'], '--truncate-dim'),
    maxActiveDims: wholeNumber(args['max-active-dims'], '--max-active-dims'),
    normalize: args.normalize,
    pieces: readPieces(args),
    precision: args.precision,
    batchTokens: wholeNumber(args['batch-tokens'], '--batch-tokens'),
    chunkRows: wholeNumber(args['shard-rows'], '--shard-rows'),
    resume: args.resume,
    update: args.update,
    overwrite: args.overwrite,
    retryRejected: args['retry-rejected'],
    verify: args.verify,
    strict: args.strict,
  };
}

function readPieces(args: CorpusFlags): CorpusRequest['pieces'] {
  const maxTokens = wholeNumber(args.chunk, '--chunk');
  if (maxTokens !== undefined) {
    return {
      maxTokens,
      overlapTokens: args.overlap === '0' ? 0 : wholeNumber(args.overlap, '--overlap'),
      splitBy: args['chunk-by'],
      lateChunking: args['late-chunking'],
      mean: args['chunk-mean'],
    };
  }
  const stray = (['overlap', 'chunk-by', 'chunk-mean', 'late-chunking'] as const).find((flag) => args[flag]);
  if (stray !== undefined) throw new UsageError(`--${stray} needs --chunk TOKENS, the maximum tokens of a piece.`);
  return undefined;
}
