import type { RunStatus } from '@sentvec/workflow';
import { type Command, defineCommand } from '../command.ts';
import { wholeNumber } from '../parse-arguments.ts';
import { queueArguments, withQueue } from '../queue/connection.ts';
import { totalOf } from '../queue/describe-run.ts';
import { renderTable } from '../table.ts';

export const queueList: Command = defineCommand({
  name: 'queue list',
  summary: 'List the runs of a queue, newest first.',
  args: { limit: { type: 'string', valueHint: 'N', description: 'How many. Default: 20.' }, ...queueArguments },
  examples: [{ line: 'sentvec queue list', does: 'Print a table' }],
  async run({ args, print }) {
    const limit = wholeNumber(args.limit, '--limit') ?? 20;
    const runs = await withQueue(args, (runtime) => runtime.list({ limit }));
    await print({ text: runs.length === 0 ? 'No runs.' : renderRuns(runs), json: runs });
  },
});

function renderRuns(runs: readonly RunStatus[]): string {
  const number = (value: number | undefined) => value?.toLocaleString('en') ?? '';
  return renderTable(
    [
      { title: 'run' },
      { title: 'workflow' },
      { title: 'state' },
      { title: 'done', align: 'right' },
      { title: 'rows', align: 'right' },
      { title: 'dead letters', align: 'right' },
      { title: 'submitted' },
    ],
    runs.map((status) => {
      const { id, workflow, state, items, createdAt } = status;
      const total = totalOf(status);
      const done = items?.expected ? `${Math.floor((100 * items.done) / items.expected)} %` : '';
      return [
        id,
        workflow,
        state,
        done,
        number(total?.rows),
        number(total?.rejected),
        new Date(createdAt).toLocaleString(),
      ];
    }),
  );
}
