// `sentvec embed`.
import type { Embedder, SparseEmbedder } from '@sentvec/core';
import { SentvecError } from '@sentvec/platform';
import type { Manifest } from '@sentvec/corpus';
import type { Command } from '../command.ts';
import { defineCorpusCommand } from '../corpus-arguments.ts';
import { exitCode } from '../exit-codes.ts';
import { backendArguments, modelArguments, withAnyEmbedder } from '../model.ts';
import { maxFailedArgument, readMaxFailed } from '../max-failed.ts';
import { corpusProgress } from '../progress.ts';
import { shellWords } from '../parse-arguments.ts';
import { UsageError } from '../usage-error.ts';

export const embed: Command = defineCorpusCommand({
  name: 'embed',
  summary: 'Embed a corpus into a folder of vectors.',
  args: {
    model: modelArguments.model,
    revision: modelArguments.revision,
    cache: {
      type: 'string',
      valueHint: 'DIR',
      description:
        'A cache folder for vectors by text and model: texts in the cache are not embedded again. The output is bit-identical.',
    },
    ...maxFailedArgument,
    ...backendArguments,
  },
  examples: [
    { line: 'sentvec embed quotes.txt --output vectors', does: 'One text per line; output in Parquet' },
    {
      line: 'sentvec embed reviews.jsonl --text body --id review_id -o vectors',
      does: 'JSON lines with an id field',
    },
    { line: "sentvec embed 'chapters/*.txt' --split paragraph -o vectors", does: 'One vector per paragraph' },
    {
      line: 'zcat log.csv.gz | sentvec embed - --input-format csv --text message --format npy -o vectors',
      does: 'Input from another program',
    },
    {
      line: 'sentvec embed books.jsonl --chunk 256 --overlap 32 -o vectors',
      does: 'Long texts in overlapping pieces of 256 tokens',
    },
    {
      line: 'sentvec embed reviews.jsonl --text body --id review_id -o vectors --update --cache ~/.cache/my-vectors',
      does: 'Update after some rows have changed: only these are embedded',
    },
    {
      line: 'sentvec embed reviews.jsonl --text body --id review_id -o vectors --resume',
      does: 'Continue an interrupted run',
    },
  ],
  notes: [
    'The output folder contains shards of vectors, manifest.json (model, fingerprint of the space, a hash of each shard), and rejected.jsonl: the rows that could not be embedded, with file, row and reason. Repeating a command writes the same bytes.',
    'Texts are embedded as documents: with the prompt that the model has for documents, in its files or on its model card. sentvec search embeds its query as a query.',
    'With --update and --overwrite, the new vectors replace the earlier ones atomically, when they are complete.',
    'With --max-failed, the run continues without chunks that fail, and ends with exit code 5 and the list of failed chunks. The folder is then incomplete and cannot be opened; --resume embeds the missing chunks.',
    'Ctrl-C stops the run. --resume continues it, and the result has the same bytes as that of an uninterrupted run.',
  ],
  async run(request, context) {
    const { args, signal, note } = context;
    if (args.cache !== undefined && request.pieces !== undefined)
      throw new UsageError(
        '--cache stores vectors of whole rows and cannot be combined with --chunk. Remove one of them.',
      );
    try {
      const { embedCorpus, findInputs, rejectedFileOf, shardTotals } = await import('@sentvec/corpus');
      // Before the model is loaded, so that a misspelt input is reported at once.
      const found = await findInputs(request.inputs);
      const { as = 'document', route, task } = request;
      const manifest = await withAnyEmbedder({ ...args, as, route, task }, context, async (embedder) => {
        const progress = await corpusProgress();
        try {
          const used = args.cache === undefined ? embedder : await withCache(embedder, args.cache);
          try {
            return await embedCorpus(request, used, {
              found,
              signal,
              maxFailed: readMaxFailed(args),
              onProgress: progress.update,
            });
          } finally {
            await used.dispose(); // Saves the cache, even after Ctrl-C.
          }
        } finally {
          progress.stop();
        }
      });
      remark(manifest, rejectedFileOf(manifest), request.output, note);
      const text = summarize(manifest, shardTotals(manifest), request.output);
      await context.print({ text, json: { output: request.output, ...manifest } });
      return exitCode.ok;
    } catch (error) {
      if (SentvecError.is(error, 'aborted')) {
        note(
          `Stopped. The finished shards stay; continue with: sentvec embed ${shellWords(resumeWords(process.argv.slice(3)))}`,
        );
        return exitCode.interrupted;
      }
      const rejected =
        request.strict === true && SentvecError.is(error, 'invalid-corpus') && error.details.row !== undefined;
      if (!rejected) throw error;
      await context.report(error);
      return exitCode.rejectedRows;
    }
  },
});

async function withCache(embedder: Embedder | SparseEmbedder, folder: string): Promise<Embedder> {
  if (embedder.kind === 'sparse')
    throw new UsageError('--cache stores dense vectors, but the model gives sparse ones. Remove --cache.');
  const { cachedEmbedder, openVectorCache } = await import('@sentvec/core/node');
  return cachedEmbedder(embedder, await openVectorCache(folder));
}

function resumeWords(words: readonly string[]): string[] {
  if (words.includes('--update')) return [...words];
  const replaced = words.filter((word) => !['--resume', '--overwrite'].includes(word));
  return [...replaced, '--resume'];
}

function remark(manifest: Manifest, file: string | undefined, output: string, note: (text: string) => void): void {
  const { rejected, truncated } = manifest;
  if (rejected > 0) note(`${count(rejected, 'row was', 'rows were')} rejected, see ${output}/${file}.`);
  if (truncated > 0)
    note(
      `${count(truncated, 'text was', 'texts were')} longer than the maximum length of the model, and truncated. Use --chunk to embed whole texts.`,
    );
}

function summarize(
  manifest: Manifest,
  { shards, bytes }: { readonly shards: number; readonly bytes: number },
  output: string,
): string {
  const { rows, pieces, dimension, precision, format, model, kind } = manifest;
  return [
    `${output}: ${count(pieces ?? rows, 'vector', 'vectors')}${pieces === undefined ? '' : ` of ${count(rows, 'row', 'rows')}`} of ${dimension} ${kind === 'sparse' ? 'terms' : 'dimensions'} by ${model}`,
    `${count(shards, 'shard', 'shards')} of ${format} (${precision}), ${(bytes / 1e6).toFixed(1)} MB, listed in ${output}/manifest.json`,
  ].join('\n');
}

function count(number: number, one: string, several: string): string {
  return `${number.toLocaleString('en')} ${number === 1 ? one : several}`;
}
