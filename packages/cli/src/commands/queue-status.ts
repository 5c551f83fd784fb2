import { type Command, defineCommand } from '../command.ts';
import { namedRun, queueArguments, withQueue } from '../queue/connection.ts';
import { describeRun } from '../queue/describe-run.ts';

export const queueStatus: Command = defineCommand({
  name: 'queue status',
  summary: 'How far is a run, and what could it not deal with?',
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
      const [status, deadLetters] = await Promise.all([run.status(), run.deadLetters()]);
      await print({ text: describeRun(status, deadLetters), json: { ...status, deadLetters } });
    });
  },
});
