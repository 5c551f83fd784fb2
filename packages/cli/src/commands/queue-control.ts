import { SentvecError } from '@sentvec/platform';
import { hasEnded } from '@sentvec/workflow';
import { type Command, defineCommand } from '../command.ts';
import { namedRun, queueArguments, withQueue } from '../queue/connection.ts';

type Action = 'pause' | 'resume' | 'cancel';

export const queuePause: Command = control('pause', 'Pause a run: steps that have begun finish, and no others begin.');
export const queueResume: Command = control('resume', 'Resume a paused run.');
export const queueCancel: Command = control('cancel', 'Cancel a run, even in the middle of a chunk.', [
  'Finished chunks stay in the output folder. To continue with them, submit the same request again, or use sentvec queue replay.',
]);

function control(action: Action, summary: string, notes: readonly string[] = []): Command {
  return defineCommand({
    name: `queue ${action}`,
    summary,
    args: { run: { type: 'positional', required: true, description: 'The id of a run.' }, ...queueArguments },
    examples: [
      { line: `sentvec queue ${action} r1f0c…`, does: `The argument is the id that sentvec queue submit printed` },
    ],
    notes,
    async run({ args, positionals, print }) {
      await withQueue(args, async (runtime) => {
        const run = await namedRun(runtime, positionals);
        await run[action]();
        const status = await run.status();
        const { state } = status;
        if (action === 'resume' && hasEnded(state)) {
          const message = `Run ${run.id} is ${state}, so it cannot be resumed. Run it again: sentvec queue replay ${run.id}`;
          throw new SentvecError('invalid-argument', message, { run: run.id, state });
        }
        const hadEnded = hasEnded(state) && state !== 'cancelled';
        await print({
          text: hadEnded ? `Run ${run.id} had already ended: it is ${state}.` : `Run ${run.id} is ${state}.`,
          json: status,
        });
      });
    },
  });
}
