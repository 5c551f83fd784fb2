// The commands that show the status of a run once, or until it ends.
import { type Command, defineCommand } from '../command.ts';
import { hasEnded } from '@sentvec/workflow';
import { exitCode } from '../exit-codes.ts';
import { wholeNumber } from '../parse-arguments.ts';
import { namedRun, queueArguments, withQueue } from '../queue/connection.ts';
import { describeRun } from '../queue/describe-run.ts';
import { watchRun } from '../queue/watch-run.ts';

export const queueStatus: Command = defineCommand({
  name: 'queue status',
  summary: 'Show the progress and the dead letters of a run.',
  args: { run: { type: 'positional', required: true, description: 'The id of a run.' }, ...queueArguments },
  examples: [
    { line: 'sentvec queue status r1f0c…', does: 'Print the status' },
    {
      line: 'sentvec queue status r1f0c… --json | jq .deadLetters',
      does: 'The rows that could not be embedded, with reasons',
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
  args: {
    run: { type: 'positional', required: true, description: 'The id of a run.' },
    'max-idle': {
      type: 'string',
      valueHint: 'SECONDS',
      description: 'Stop watching if no worker could work on the run for this time. Default: no limit.',
    },
    ...queueArguments,
  },
  examples: [
    { line: 'sentvec queue watch r1f0c…', does: 'Show a progress bar with rows/s, tokens/s and the time left' },
    {
      line: 'sentvec queue watch r1f0c… --max-idle 600',
      does: 'In a script: stop if no worker has the model for ten minutes',
    },
  ],
  notes: [
    'The exit code is 0 if the run completes, 4 after --max-idle, 5 if it is incomplete because some items failed (--max-failed), else 1. Ctrl-C stops watching, not the run. If the connection to Redis is lost, the command waits for it.',
  ],
  async run({ args, positionals, print, signal, note }) {
    return withQueue(args, async (runtime) => {
      const run = await namedRun(runtime, positionals);
      const maxIdle = wholeNumber(args['max-idle'], '--max-idle');
      const status = await watchRun(run, { signal, note, maxIdle });
      const deadLetters = await run.deadLetters();
      await print({ text: describeRun(status, deadLetters), json: { ...status, deadLetters } });
      if (!hasEnded(status.state)) return exitCode.idle;
      if (status.state === 'completed') return exitCode.ok;
      return status.state === 'incomplete' ? exitCode.incomplete : exitCode.failure;
    });
  },
});
