// `sentvec update`: adds, replaces and removes rows of a folder of vectors.
import { SentvecError } from '@sentvec/platform';
import { type Command, defineCommand } from '../command.ts';
import { exitCode } from '../exit-codes.ts';
import { backendArguments, withAnyEmbedder } from '../model.ts';
import { corpusProgress } from '../progress.ts';
import { UsageError } from '../usage-error.ts';

export const update: Command = defineCommand({
  name: 'update',
  summary: 'Add, replace and remove rows of a folder of vectors.',
  args: {
    directory: { type: 'positional', required: true, description: 'An output folder of sentvec embed with --id.' },
    'input…': {
      type: 'positional',
      required: false,
      description:
        'Files with new rows, with the same fields as the corpus; - is standard input. A new row replaces rows with the same id.',
    },
    remove: { type: 'string', valueHint: 'ID,ID', description: 'Ids of rows to remove.' },
    'remove-from': {
      type: 'string',
      valueHint: 'FILE',
      description: 'A file with ids to remove, one per line.',
    },
    'input-format': {
      type: 'enum',
      options: ['auto', 'jsonl', 'text', 'csv', 'tsv', 'parquet'],
      description: 'The format of the files. Default: detected from the name or the first bytes.',
    },
    overwrite: { type: 'boolean', description: 'Discard an interrupted update of other files.' },
    model: {
      type: 'string',
      alias: 'm',
      valueHint: 'MODEL',
      description: 'The model, if its folder has moved. Default: as recorded in the manifest.',
    },
    ...backendArguments,
  },
  examples: [
    { line: 'sentvec update vectors new.jsonl', does: 'Add rows, and replace rows with the same ids' },
    { line: 'sentvec update vectors --remove 17,42', does: 'Remove two rows' },
    { line: 'sentvec update vectors new.jsonl --remove-from deleted.txt', does: 'Both in one atomic step' },
  ],
  notes: [
    'The update is atomic: a search sees either the old rows or the new ones. An interrupted update does not change the folder; the same command continues it. A row that cannot be embedded is an error, and nothing changes.',
    'Removed rows stay in the shard files, so programs that ignore manifest.json still see them. sentvec embed --overwrite rewrites the folder without them.',
  ],
  async run(context) {
    const { args, positionals, signal } = context;
    const [directory = '', ...inputs] = positionals;
    const { readManifest, updateIndex } = await import('@sentvec/corpus');
    const remove = await idsToRemove(args);
    if (inputs.length === 0 && remove === undefined)
      throw new UsageError('There is nothing to do. Name files with new rows, or use --remove or --remove-from.');
    const manifest = await readManifest(directory);
    const options = { remove, signal };
    try {
      const changed =
        inputs.length === 0 || manifest === undefined
          ? await updateIndex(directory, options)
          : await withAnyEmbedder(
              {
                ...args,
                model: args.model ?? manifest.model,
                revision: args.model === undefined ? (manifest.revision ?? undefined) : undefined,
                route: manifest.options.route,
                task: manifest.options.task,
                as: manifest.options.as ?? 'document',
              },
              context,
              async (embedder) => {
                const progress = await corpusProgress();
                const { overwrite, 'input-format': inputFormat } = args;
                const given = { ...options, embedder, inputs, inputFormat, overwrite, onProgress: progress.update };
                return updateIndex(directory, given).finally(progress.stop);
              },
            );
      const { added, replaced, removed, unknown } = changed;
      const { rows } = changed.manifest;
      const text = `${directory}: ${added} added, ${replaced} replaced, ${removed} removed; ${rows.toLocaleString('en')} rows now.`;
      if (unknown > 0) context.note(`Note: ${unknown} of the ids to remove do not exist.`);
      await context.print({ text, json: { output: directory, added, replaced, removed, unknown, rows } });
      return exitCode.ok;
    } catch (error) {
      if (!SentvecError.is(error, 'aborted')) throw error;
      context.note(`Stopped. ${directory} has not changed. The same command continues the update.`);
      return exitCode.interrupted;
    }
  },
});

async function idsToRemove(args: {
  readonly remove?: string | undefined;
  readonly 'remove-from'?: string | undefined;
}): Promise<string[] | undefined> {
  const { remove, 'remove-from': file } = args;
  if (remove === undefined && file === undefined) return undefined;
  const named = remove?.split(',').map((id) => id.trim()) ?? [];
  if (named.includes('')) throw new UsageError(`--remove ${remove} has an empty id.`);
  if (file === undefined) return named;
  const { readTable } = await import('@sentvec/corpus');
  const { columns } = await readTable({ file, columns: ['id'], plainText: true });
  return [...named, ...columns[0]!.filter((id) => id !== '')];
}
