// The commands on what failed for good in a run: look at it, and try it again.
import type { FailedItem } from '@sentvec/workflow';
import { type Command, defineCommand } from '../command.ts';
import { namedRun, queueArguments, withQueue } from '../queue/connection.ts';
import { withFlags } from '../report-error.ts';
import { excerpt, renderTable } from '../table.ts';

export const queueFailed: Command = defineCommand({
  name: 'queue failed',
  summary: 'List the items of a run that failed, their inputs and the reasons.',
  args: { run: { type: 'positional', required: true, description: 'The id of a run.' }, ...queueArguments },
  examples: [
    { line: 'sentvec queue failed r1f0c…', does: 'A table: item, input, attempts, worker, reason' },
    {
      line: "sentvec queue failed r1f0c… --json | jq -r '.[].error.message'",
      does: 'The whole reasons',
    },
  ],
  notes: [
    'An item, such as a chunk of a corpus, is here when all its attempts were used up (--max-failed says how many may be). Rows that cannot be embedded are dead letters: sentvec queue status shows them.',
    'sentvec queue replay tries all of them again, or with --item some.',
  ],
  async run({ args, positionals, print }) {
    const items = await withQueue(args, async (runtime) => (await namedRun(runtime, positionals)).failedItems());
    await print({ text: items.length === 0 ? 'Nothing failed for good.' : renderItems(items), json: items });
  },
});

export const queueReplay: Command = defineCommand({
  name: 'queue replay',
  summary: 'Run an ended run again: its dead letters, or its failed or remaining chunks.',
  args: {
    run: { type: 'positional', required: true, description: 'The id of a run.' },
    item: {
      type: 'string',
      valueHint: 'ID,…',
      description: 'Of what failed, only these, by the ids that sentvec queue failed shows. Default: all.',
    },
    ...queueArguments,
  },
  examples: [
    { line: 'sentvec queue replay r1f0c…', does: 'By the id that sentvec queue submit printed' },
    {
      line: 'sentvec queue replay r1f0c… --item embed#17,embed#40',
      does: 'Two chunks; others that failed stay as they are',
    },
  ],
  notes: [
    'Of a completed run, the chunks with dead letters are embedded again, and the manifest is written again. Correct the inputs first.',
    'Of an incomplete run, what is done is kept. When the last chunk that failed succeeds, the run completes, with the bytes that it would have had.',
  ],
  async run({ args, positionals, print }) {
    await withQueue(args, async (runtime) => {
      const run = await namedRun(runtime, positionals);
      await run.replay({ items: args.item?.split(',').map((id) => id.trim()) });
      const status = await run.status();
      await print({ text: `Run ${run.id} is ${status.state}.`, json: status });
    });
  },
});

function renderItems(items: readonly FailedItem[]): string {
  return renderTable(
    [
      { title: 'item' },
      { title: 'input' },
      { title: 'attempts', align: 'right' },
      { title: 'worker' },
      { title: 'failed' },
      { title: 'reason' },
    ],
    items.map(({ id, reference, attempts, worker, at, error }) => [
      id,
      excerpt(reference, 100),
      String(attempts),
      worker ?? '',
      new Date(at).toLocaleString(),
      `${error.code}: ${excerpt(withFlags(error.message), 120)}`,
    ]),
  );
}
