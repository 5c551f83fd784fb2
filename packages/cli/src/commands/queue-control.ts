import { SentvecError } from '@sentvec/platform';
import { hasEnded } from '@sentvec/workflow';
import { type Command, defineCommand } from '../command.ts';
import { namedRun, queueArguments, withQueue } from '../queue/connection.ts';

type Action = 'pause' | 'resume' | 'cancel' | 'replay';

export const queuePause: Command = control('pause', 'Let a run finish the steps that have begun, and begin no others.');
export const queueResume: Command = control('resume', 'Let a paused run go on.');
export const queueCancel: Command = control('cancel', 'Stop a run, in the middle of a chunk.', [
  'The finished chunks stay in the output folder: submitting the same request again, or sentvec queue replay, goes on from them.',
]);
export const queueReplay: Command = control(
  'replay',
  'Run an ended run again: its dead letters, or the chunks that are left.',
  [
    'Of a completed run, the chunks with dead letters are embedded again, and the manifest is written again. Correct the inputs first.',
  ],
);

function control(action: Action, summary: string, notes: readonly string[] = []): Command {
  return defineCommand({
    name: `queue ${action}`,
    summary,
    args: { run: { type: 'positional', required: true, description: 'The id of a run.' }, ...queueArguments },
    examples: [{ line: `sentvec queue ${action} r1f0c…`, does: `By the id that sentvec queue submit printed` }],
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
          text: hadEnded ? `Run ${run.id} had ended: it is ${state}.` : `Run ${run.id} is ${state}.`,
          json: status,
        });
      });
    },
  });
}
