// The commands that show a run: as it is now, or until it ends.
import { type Command, defineCommand } from '../command.ts';
import { exitCode } from '../exit-codes.ts';
import { namedRun, queueArguments, withQueue } from '../queue/connection.ts';
import { describeRun } from '../queue/describe-run.ts';
import { watchRun } from '../queue/watch-run.ts';

export const queueStatus: Command = defineCommand({
  name: 'queue status',
  summary: 'How far is a run, and what could it not process?',
  args: { run: { type: 'positional', required: true, description: 'The id of a run.' }, ...queueArguments },
  examples: [
    { line: 'sentvec queue status r1f0c…', does: 'For a person' },
    {
      line: 'sentvec queue status r1f0c… --json | jq .deadLetters',
      does: 'The rows that could not be embedded, each with its reason',
    },
  ],
  async run({ args, positionals, print }) {
    await withQueue(args, async (runtime) => {
      const run = await namedRun(runtime, positionals);
      const [status, deadLetters, schedules] = await Promise.all([
        run.status(),
        run.deadLetters(),
        runtime.schedules(),
      ]);
      const schedule = schedules.find(({ last }) => last?.run === run.id);
      await print({ text: describeRun(status, deadLetters, schedule), json: { ...status, deadLetters, schedule } });
    });
  },
});

export const queueWatch: Command = defineCommand({
  name: 'queue watch',
  summary: 'Watch a run until it ends.',
  args: { run: { type: 'positional', required: true, description: 'The id of a run.' }, ...queueArguments },
  examples: [{ line: 'sentvec queue watch r1f0c…', does: 'A bar with rows/s, tokens/s and the time left' }],
  notes: [
    'Ends with 0 when the run is completed, else with 1. Ctrl-C stops the watching, not the run. While Redis cannot be reached, it waits.',
  ],
  async run({ args, positionals, print, signal, note }) {
    return withQueue(args, async (runtime) => {
      const run = await namedRun(runtime, positionals);
      const status = await watchRun(run, { signal, note });
      const deadLetters = await run.deadLetters();
      await print({ text: describeRun(status, deadLetters), json: { ...status, deadLetters } });
      return status.state === 'completed' ? exitCode.ok : exitCode.failure;
    });
  },
});
