import type { WorkerFacts } from '@sentvec/queue';
import { type Command, defineCommand } from '../command.ts';
import { queueArguments, withQueue } from '../queue/connection.ts';
import { excerpt, renderTable } from '../table.ts';

export const queueWorkers: Command = defineCommand({
  name: 'queue workers',
  summary: 'Who serves a queue, and which workflows?',
  args: queueArguments,
  examples: [
    { line: 'sentvec queue workers', does: 'A table' },
    {
      line: "sentvec queue workers --json | jq '.[] | select(.setAside)'",
      does: 'Those that could not do their last steps',
    },
  ],
  notes: [
    'A worker whose last few steps had to be done by another one takes no steps for a while. The table shows the reason; sentvec worker logs it.',
  ],
  async run({ args, print }) {
    const workers = await withQueue(args, (runtime) => runtime.workers());
    const text =
      workers.length === 0 ? 'No worker serves this queue. Start one: sentvec worker' : renderWorkers(workers);
    await print({ text, json: workers });
  },
});

function renderWorkers(workers: readonly WorkerFacts[]): string {
  return renderTable(
    [
      { title: 'worker' },
      { title: 'workflows' },
      { title: 'steps', align: 'right' },
      { title: 'since' },
      { title: 'set aside' },
    ],
    workers.map(({ id, workflows, active, concurrency, startedAt, setAside }) => [
      id,
      Object.keys(workflows).join(', '),
      `${active.length} of ${concurrency}`,
      new Date(startedAt).toLocaleString(),
      excerpt(setAside ?? '', 80),
    ]),
  );
}
