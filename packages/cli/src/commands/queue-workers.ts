import type { ServedModel, WorkerFacts } from '@sentvec/queue';
import { type Command, defineCommand } from '../command.ts';
import { queueArguments, withQueue } from '../queue/connection.ts';
import { excerpt, renderTable } from '../table.ts';

export const queueWorkers: Command = defineCommand({
  name: 'queue workers',
  summary: 'List the workers of a queue with their models and workflows.',
  args: queueArguments,
  examples: [
    { line: 'sentvec queue workers', does: 'Print a table' },
    {
      line: "sentvec queue workers --json | jq '.[] | select(.setAside)'",
      does: 'Workers that were set aside because their last steps failed',
    },
    {
      line: "sentvec queue workers --json | jq '[.[] | {id, models}]'",
      does: 'Print the complete fingerprints of the models, and their backends',
    },
  ],
  notes: [
    'The table shows the first digits of the fingerprint of each model, which identifies weights, tokenizer and pooling: see sentvec queue submit --fingerprint.',
    'If the last few steps of a worker failed and another worker could do them, the worker is set aside for a while. The table shows the reason; sentvec worker logs it.',
  ],
  async run({ args, print }) {
    const workers = await withQueue(args, (runtime) => runtime.workers());
    const text = workers.length === 0 ? 'This queue has no workers. Start one: sentvec worker' : renderWorkers(workers);
    await print({ text, json: workers });
  },
});

function renderWorkers(workers: readonly WorkerFacts[]): string {
  return renderTable(
    [
      { title: 'worker' },
      { title: 'models' },
      { title: 'workflows' },
      { title: 'steps', align: 'right' },
      { title: 'since' },
      { title: 'set aside' },
    ],
    workers.map(({ id, models = [], workflows, active, concurrency, startedAt, setAside }) => [
      id,
      models.map(describeModel).join(', '),
      Object.keys(workflows).join(', '),
      `${active.length} of ${concurrency}`,
      new Date(startedAt).toLocaleString(),
      excerpt(setAside ?? '', 80),
    ]),
  );
}

function describeModel({ name, fingerprint, backend, error }: ServedModel): string {
  if (error !== undefined) return `${name} (cannot be loaded: ${excerpt(error, 80)})`;
  return fingerprint === undefined ? `${name} (loading)` : `${name} ${fingerprint.slice(0, 12)} (${backend ?? '?'})`;
}
