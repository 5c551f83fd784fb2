import type { ParsedArgs } from 'citty';
import { SentvecError } from '@sentvec/core';
import type { CorpusRequest, Manifest } from '@sentvec/corpus';
import { type Command, type CommandContext, defineArguments, defineCommand } from '../command.ts';
import { exitCode } from '../exit-codes.ts';
import { backendArguments, modelArguments, withModel } from '../model.ts';
import { wholeNumber } from '../parse-arguments.ts';
import { corpusProgress } from '../progress.ts';
import { shellWords } from '../shell-words.ts';
import { UsageError } from '../usage-error.ts';

const embedArguments = defineArguments({
  'input…': { type: 'positional', required: true, description: 'Files or globs, plain or gzip; - is standard input.' },
  output: { type: 'string', alias: 'o', required: true, valueHint: 'DIR', description: 'The folder for the vectors.' },
  ...modelArguments,
  ...backendArguments,
  text: { type: 'string', valueHint: 'FIELD', description: 'The field or column with the text. Default: text.' },
  id: { type: 'string', valueHint: 'FIELD', description: "The field or column with a row's id. Default: the row's number." },
  columns: { type: 'string', valueHint: 'A,B', description: 'Fields to keep beside the vectors. Default: the text; with jsonl none.' },
  'input-format': {
    type: 'enum',
    options: ['auto', 'jsonl', 'text', 'csv', 'tsv', 'parquet'],
    description: 'Default: by the name of the file, else by its first bytes.',
  },
  split: { type: 'enum', options: ['line', 'paragraph'], description: 'What is a row of plain text. Default: line.' },
  format: { type: 'enum', options: ['parquet', 'npy', 'arrow', 'jsonl'], description: 'Of the vectors. Default: parquet.' },
  prompt: { type: 'string', valueHint: 'NAME', description: "Name of one of the model's prompts. Default: what the model says." },
  'without-prompt': { type: 'boolean', description: "Without the model's default prompt." },
  'truncate-dim': { type: 'string', valueHint: 'N', description: 'Keep the first N entries of each vector.' },
  precision: {
    type: 'enum',
    options: ['float32', 'int8', 'uint8', 'binary', 'ubinary'],
    description: 'How an entry of a vector is stored. Default: float32.',
  },
  'batch-tokens': { type: 'string', valueHint: 'N', description: 'Tokens (rows × longest) of a batch. Default: what suits the backend.' },
  'shard-rows': { type: 'string', valueHint: 'N', description: 'The most rows of a shard. Default: 2048.' },
  resume: { type: 'boolean', description: 'Continue a run that was interrupted.' },
  overwrite: { type: 'boolean', description: 'Replace what an earlier run left in the folder.' },
  'retry-rejected': { type: 'boolean', description: 'Embed the shards with rejected rows of a finished run again.' },
  strict: { type: 'boolean', description: 'A row that cannot be embedded ends the run (exit code 3).' },
});

type Context = CommandContext<ParsedArgs<typeof embedArguments>>;

export const embed: Command = defineCommand({
  name: 'embed',
  summary: 'Texts in, a folder of vectors out.',
  args: embedArguments,
  examples: [
    { line: 'sentvec embed quotes.txt --output vectors', does: 'A text on each line, as Parquet' },
    { line: 'sentvec embed reviews.jsonl --text body --id review_id -o vectors', does: 'JSON lines, with the ids of the file' },
    { line: "sentvec embed 'chapters/*.txt' --split paragraph -o vectors", does: 'A vector for each paragraph' },
    { line: 'zcat log.csv.gz | sentvec embed - --input-format csv --text message --format npy -o vectors', does: 'From another program' },
    { line: 'sentvec embed reviews.jsonl --text body --id review_id -o vectors --resume', does: 'Go on after an interruption' },
  ],
  notes: [
    'The folder holds shards of vectors, manifest.json (model, fingerprint of the space, a hash of each shard), and rejected.jsonl: the rows that could not be embedded, with file, row and reason. The same command writes the same bytes.',
    'Ctrl-C stops the run where it can go on; --resume continues it and ends with the same bytes as a run that was never stopped.',
  ],
  async run(context) {
    const { args, signal, note } = context;
    const request = readRequest(context);
    try {
      const manifest = await withModel(args, context, async (embedder) => {
        const { embedInProcess } = await import('../embed-in-process.ts');
        const progress = await corpusProgress();
        try {
          return await embedInProcess(request, embedder, { signal, onProgress: progress.update });
        } finally {
          progress.stop();
        }
      });
      remark(manifest, request.output, note);
      await context.print({ text: summarize(manifest, request.output), json: { output: request.output, ...manifest } });
      return exitCode.ok;
    } catch (error) {
      if (SentvecError.is(error, 'aborted')) {
        note(`Stopped. What is finished is kept; go on with: sentvec embed ${shellWords(resumeWords(process.argv.slice(3)))}`);
        return exitCode.interrupted;
      }
      const rejected = args.strict === true && SentvecError.is(error, 'invalid-corpus') && error.details.row !== undefined;
      if (!rejected) throw error;
      await context.report(error);
      return exitCode.rejectedRows;
    }
  },
});

function readRequest({ args, positionals }: Context): CorpusRequest {
  if (args.prompt !== undefined && args['without-prompt']) throw new UsageError('--prompt and --without-prompt exclude each other.');
  const exclusive = (['resume', 'overwrite', 'retry-rejected'] as const).filter((flag) => args[flag]);
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
    prompt: args['without-prompt'] ? null : args.prompt,
    truncateDim: wholeNumber(args['truncate-dim'], '--truncate-dim'),
    precision: args.precision,
    batchTokens: wholeNumber(args['batch-tokens'], '--batch-tokens'),
    chunkRows: wholeNumber(args['shard-rows'], '--shard-rows'),
    resume: args.resume,
    overwrite: args.overwrite,
    retryRejected: args['retry-rejected'],
    strict: args.strict,
  };
}

function resumeWords(words: readonly string[]): string[] {
  const replaced = words.filter((word) => !['--resume', '--overwrite'].includes(word));
  return [...replaced, '--resume'];
}

function remark({ rejected, truncated }: Manifest, output: string, note: (text: string) => void): void {
  if (rejected > 0) note(`${count(rejected, 'row was', 'rows were')} rejected: ${output}/rejected.jsonl says which and why.`);
  if (truncated > 0) note(`${count(truncated, 'text was', 'texts were')} longer than the model reads, and cut.`);
}

function summarize(manifest: Manifest, output: string): string {
  const { rows, dimension, precision, format, shards, model } = manifest;
  const size = shards.reduce((sum, { bytes, companion }) => sum + bytes + (companion?.bytes ?? 0), 0);
  return [
    `${output}: ${count(rows, 'vector', 'vectors')} of ${dimension} dimensions by ${model}`,
    `${count(shards.length, 'shard', 'shards')} of ${format} (${precision}), ${(size / 1e6).toFixed(1)} MB, listed in ${output}/manifest.json`,
  ].join('\n');
}

function count(number: number, one: string, several: string): string {
  return `${number.toLocaleString('en')} ${number === 1 ? one : several}`;
}
