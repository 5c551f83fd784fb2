import type { Embedder } from '@sentvec/core';
import type { EmbedTexts, Evaluation } from '@sentvec/training';
import { type Command, defineCommand } from '../command.ts';
import { backendArguments, modelArguments, withModel } from '../model.ts';
import { renderTable } from '../table.ts';
import { UsageError } from '../usage-error.ts';
import { embedWithProgress } from './embed-with-progress.ts';

/** What distinguishes one evaluation from another. */
export interface EvaluationTask {
  /** The second word: `sentvec evaluate NAME`. */
  readonly name: string;
  readonly summary: string;
  /** What the files hold, and names of the columns of texts when the user gives none. */
  readonly files: string;
  readonly columns: readonly string[];
  /** How many files: at least and at most. */
  readonly count: readonly [least: number, most: number];
  readonly example: { readonly line: string; readonly does: string };
  /** @param tables the texts of each file, by column */
  evaluate(
    embed: EmbedTexts,
    tables: readonly (readonly (readonly string[])[])[],
    embedder: Embedder,
  ): Promise<Evaluation>;
}

/** A command that reads texts by column, evaluates a model on them, and prints a metric a line. */
export function evaluationCommand(task: EvaluationTask): Command {
  return defineCommand({
    name: `evaluate ${task.name}`,
    summary: task.summary,
    args: {
      file: { type: 'positional', required: true, description: task.files },
      ...modelArguments,
      ...backendArguments,
      columns: {
        type: 'string',
        valueHint: task.columns.join(',').toUpperCase(),
        description: `Names of the columns, or their numbers from 0 in a CSV without a header. Default: ${task.columns.join(',')}.`,
      },
      'no-header': { type: 'boolean', description: 'The first row of a CSV is data.' },
      prompt: {
        type: 'string',
        valueHint: 'NAME',
        description: "Name of one of the model's prompts, put before each text.",
      },
    },
    examples: [task.example],
    async run(context) {
      const { args, positionals, signal } = context;
      const [least, most] = task.count;
      if (positionals.length < least || positionals.length > most) {
        throw new UsageError(
          `Name ${least === most ? least : `${least} to ${most}`} file${most > 1 ? 's' : ''}, not ${positionals.length}.`,
        );
      }
      const columns = args.columns?.split(',').map((name) => name.trim()) ?? task.columns;
      if (columns.length !== task.columns.length)
        throw new UsageError(`--columns names ${task.columns.length} columns: ${task.columns.join(',')}.`);
      const { readTable } = await import('@sentvec/corpus');
      const tables: (readonly (readonly string[])[])[] = [];
      for (const file of positionals)
        tables.push((await readTable({ file, columns, header: !args['no-header'] })).columns);
      await withModel(args, context, async (embedder) => {
        const { score, metrics = {} } = await task.evaluate(
          embedWithProgress(embedder, signal, args.prompt),
          tables,
          embedder,
        );
        await context.print({
          text: renderTable(
            [{ title: 'metric' }, { title: '', align: 'right' }],
            Object.entries(metrics).map(([name, value]) => [name, value.toFixed(4)]),
          ),
          json: { model: embedder.model.name, files: positionals, score, metrics },
        });
      });
    },
  });
}
