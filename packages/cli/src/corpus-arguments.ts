// The flags that describe a corpus, for the commands that embed one.
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
    description: "The field or column with a row's id. Default: the row's number.",
  },
  columns: {
    type: 'string',
    valueHint: 'A,B',
    description: 'Fields to keep beside the vectors. Default: the text; with jsonl none.',
  },
  'input-format': {
    type: 'enum',
    options: ['auto', 'jsonl', 'text', 'csv', 'tsv', 'parquet'],
    description: 'Default: by the name of the file, else by its first bytes.',
  },
  split: { type: 'enum', options: ['line', 'paragraph'], description: 'What is a row of plain text. Default: line.' },
  format: {
    type: 'enum',
    options: ['parquet', 'npy', 'arrow', 'jsonl'],
    description: 'Of the vectors. Default: parquet.',
  },
  as: {
    ...roleArgument,
    description:
      'What the texts are in a search; the model may have a prompt, a route or a task for it. Default: document.',
  },
  prompt: {
    type: 'string',
    valueHint: 'NAME',
    description: "Name of one of the model's prompts. Default: the one for --as.",
  },
  'without-prompt': { type: 'boolean', description: 'Without any prompt.' },
  route: { ...modelArguments.route, description: `${modelArguments.route.description} Default: the one for --as.` },
  task: { ...modelArguments.task, description: `${modelArguments.task.description} Default: the one for --as.` },
  'truncate-dim': {
    type: 'string',
    valueHint: 'N',
    description: 'Keep the first N entries of each vector, as they are.',
  },
  'max-active-dims': {
    type: 'string',
    valueHint: 'N',
    description: 'Of a sparse model (SPLADE): keep the N largest entries of each vector.',
  },
  normalize: { type: 'boolean', description: 'Divide each vector by its length, whatever the model does.' },
  chunk: {
    type: 'string',
    valueHint: 'TOKENS',
    description:
      'Embed each row in pieces of at most this many tokens, a vector for each. Default: longer rows are cut.',
  },
  overlap: {
    type: 'string',
    valueHint: 'N',
    description: 'Tokens from the end of a piece with which the next one begins. Default: 0.',
  },
  'chunk-by': {
    type: 'enum',
    options: ['sentences', 'tokens'],
    description: 'Whether pieces end after sentences and before headings, or after any word. Default: sentences.',
  },
  'chunk-mean': { type: 'boolean', description: 'One vector for each row: the mean of its pieces.' },
  'late-chunking': { type: 'boolean', description: 'The model reads the whole row before its pieces are pooled.' },
  precision: {
    type: 'enum',
    options: ['float32', 'int8', 'uint8', 'binary', 'ubinary'],
    description: 'How an entry of a vector is stored. Default: float32.',
  },
  'batch-tokens': {
    type: 'string',
    valueHint: 'N',
    description: 'Tokens (rows × longest) of a batch. Default: what suits the backend.',
  },
  'shard-rows': { type: 'string', valueHint: 'N', description: 'The most rows of a shard. Default: 2048.' },
  resume: { type: 'boolean', description: 'Continue an interrupted run; make lost shards of a finished one again.' },
  update: {
    type: 'boolean',
    description: 'Embed what has changed since an earlier run, remove what is gone, and keep the rest.',
  },
  overwrite: { type: 'boolean', description: 'Replace what an earlier run left in the folder.' },
  'retry-rejected': {
    type: 'boolean',
    description: 'Embed rejected and changed rows of a finished run again, with their shards.',
  },
  verify: { type: 'boolean', description: 'Compare the shards that are kept with their hashes, not only sizes.' },
  strict: { type: 'boolean', description: 'A row that cannot be embedded ends the run (exit code 3).' },
});

type CorpusFlags = ParsedArgs<typeof corpusArguments>;

/** A command whose flags describe a corpus. Its `run` gets what they ask for; `Args` are its other flags. */
export interface CorpusCommand<Args extends ArgsDef> extends Omit<TypedCommand<Args>, 'run'> {
  run(request: CorpusRequest, context: CommandContext<ParsedArgs<Args>>): Promise<number | void>;
}

/**
 * Declares a command that embeds a corpus, wherever it is computed. @throws UsageError, in its `run`, for flags that
 * exclude each other
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
    throw new UsageError('--prompt and --without-prompt exclude each other.');
  const exclusive = (['resume', 'update', 'overwrite', 'retry-rejected'] as const).filter((flag) => args[flag]);
  if (exclusive.length > 1) throw new UsageError(`--${exclusive.join(' and --')} exclude each other.`);
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
  if (stray !== undefined) throw new UsageError(`--${stray} needs --chunk TOKENS, the most tokens of a piece.`);
  return undefined;
}
