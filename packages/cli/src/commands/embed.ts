// `sentvec embed`.
import type { Embedder, SparseEmbedder } from '@sentvec/core';
import { SentvecError } from '@sentvec/platform';
import type { Manifest } from '@sentvec/corpus';
import type { Command } from '../command.ts';
import { defineCorpusCommand } from '../corpus-arguments.ts';
import { exitCode } from '../exit-codes.ts';
import { backendArguments, modelArguments, withAnyEmbedder } from '../model.ts';
import { corpusProgress } from '../progress.ts';
import { shellWords } from '../parse-arguments.ts';
import { UsageError } from '../usage-error.ts';

export const embed: Command = defineCorpusCommand({
  name: 'embed',
  summary: 'Texts in, a folder of vectors out.',
  args: {
    model: modelArguments.model,
    revision: modelArguments.revision,
    cache: {
      type: 'string',
      valueHint: 'DIR',
      description:
        'A folder that keeps vectors by text and model: texts that are in it are not embedded again. The output is the same to the last bit.',
    },
    ...backendArguments,
  },
  examples: [
    { line: 'sentvec embed quotes.txt --output vectors', does: 'A text on each line, as Parquet' },
    {
      line: 'sentvec embed reviews.jsonl --text body --id review_id -o vectors',
      does: 'JSON lines, with the ids of the file',
    },
    { line: "sentvec embed 'chapters/*.txt' --split paragraph -o vectors", does: 'A vector for each paragraph' },
    {
      line: 'zcat log.csv.gz | sentvec embed - --input-format csv --text message --format npy -o vectors',
      does: 'From another program',
    },
    {
      line: 'sentvec embed books.jsonl --chunk 256 --overlap 32 -o vectors',
      does: 'Long texts, in pieces of 256 tokens that overlap',
    },
    {
      line: 'sentvec embed reviews.jsonl --text body --id review_id -o vectors --update --cache ~/.cache/my-vectors',
      does: 'Again after some rows have changed: only those are embedded',
    },
    {
      line: 'sentvec embed reviews.jsonl --text body --id review_id -o vectors --resume',
      does: 'Continue after an interruption',
    },
  ],
  notes: [
    'The folder holds shards of vectors, manifest.json (model, fingerprint of the space, a hash of each shard), and rejected.jsonl: the rows that could not be embedded, with file, row and reason. The same command writes the same bytes.',
    'Texts are embedded as documents: with the prompt that the model has for those, whether in its files or on its card. sentvec search embeds its query as a query.',
    'With --update and --overwrite, readers of the folder have the earlier vectors until the new ones are complete, and then all of them at once.',
    'Ctrl-C stops the run so that it can be continued. --resume continues it, and ends with the same bytes as a run that was never stopped.',
  ],
  async run(request, context) {
    const { args, signal, note } = context;
    if (args.cache !== undefined && request.pieces !== undefined)
      throw new UsageError('--cache keeps the vectors of whole rows: leave out --chunk, or --cache.');
    try {
      const { embedCorpus, findInputs, rejectedFileOf } = await import('@sentvec/corpus');
      // Before the model is downloaded and loaded: the name of an input may be misspelled.
      const found = await findInputs(request.inputs);
      const { as = 'document', route, task } = request;
      const manifest = await withAnyEmbedder({ ...args, as, route, task }, context, async (embedder) => {
        const progress = await corpusProgress();
        try {
          const used = args.cache === undefined ? embedder : await withCache(embedder, args.cache);
          try {
            return await embedCorpus(request, used, { found, signal, onProgress: progress.update });
          } finally {
            await used.dispose(); // Writes the cache, also after Ctrl-C.
          }
        } finally {
          progress.stop();
        }
      });
      remark(manifest, rejectedFileOf(manifest), request.output, note);
      await context.print({ text: summarize(manifest, request.output), json: { output: request.output, ...manifest } });
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
    throw new UsageError('--cache keeps dense vectors, and the model gives sparse ones: leave it out.');
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
  if (rejected > 0) note(`${count(rejected, 'row was', 'rows were')} rejected: ${output}/${file} says which and why.`);
  if (truncated > 0)
    note(
      `${count(truncated, 'text was', 'texts were')} longer than the model reads, and cut: --chunk embeds all of it.`,
    );
}

function summarize(manifest: Manifest, output: string): string {
  const { rows, pieces, dimension, precision, format, shards, model, kind } = manifest;
  const size = shards.reduce((sum, { bytes, companion }) => sum + bytes + (companion?.bytes ?? 0), 0);
  return [
    `${output}: ${count(pieces ?? rows, 'vector', 'vectors')}${pieces === undefined ? '' : ` of ${count(rows, 'row', 'rows')}`} of ${dimension} ${kind === 'sparse' ? 'terms' : 'dimensions'} by ${model}`,
    `${count(shards.length, 'shard', 'shards')} of ${format} (${precision}), ${(size / 1e6).toFixed(1)} MB, listed in ${output}/manifest.json`,
  ].join('\n');
}

function count(number: number, one: string, several: string): string {
  return `${number.toLocaleString('en')} ${number === 1 ? one : several}`;
}
