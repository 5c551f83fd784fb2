// The commands that list and remove schedules. `sentvec queue submit --every` creates them.
import { SentvecError } from '@sentvec/platform';
import type { Schedule } from '@sentvec/queue/producer';
import { type Command, defineCommand } from '../command.ts';
import { queueArguments, withQueue } from '../queue/connection.ts';
import { describeNext } from '../queue/describe-run.ts';
import { renderTable } from '../table.ts';
import { UsageError } from '../usage-error.ts';

export const queueSchedules: Command = defineCommand({
  name: 'queue schedules',
  summary: 'List the schedules of a queue and their next runs.',
  args: queueArguments,
  examples: [{ line: 'sentvec queue schedules', does: 'Print a table' }],
  async run({ args, print }) {
    const schedules = await withQueue(args, (runtime) => runtime.schedules());
    await print({ text: schedules.length === 0 ? 'No schedules.' : renderSchedules(schedules), json: schedules });
  },
});

export const queueUnschedule: Command = defineCommand({
  name: 'queue unschedule',
  summary: 'Remove a schedule. A run that it has started continues.',
  args: { name: { type: 'positional', required: true, description: 'The name of a schedule.' }, ...queueArguments },
  examples: [{ line: 'sentvec queue unschedule reviews', does: 'Remove the schedule with this name' }],
  async run({ args, positionals, print }) {
    const [name, ...more] = positionals;
    if (name === undefined || more.length > 0)
      throw new UsageError('Name one schedule. To list them: sentvec queue schedules');
    if (!(await withQueue(args, (runtime) => runtime.unschedule(name)))) {
      const message = `There is no schedule ${name} in this queue. To list them: sentvec queue schedules`;
      throw new SentvecError('run-not-found', message, { schedule: name });
    }
    await print({ text: `The schedule ${name} was removed.`, json: { name } });
  },
});

function renderSchedules(schedules: readonly Schedule[]): string {
  return renderTable(
    [
      { title: 'schedule' },
      { title: 'every' },
      { title: 'time zone' },
      { title: 'next' },
      { title: 'latest run' },
      { title: 'skipped' },
    ],
    schedules.map((schedule) => {
      const { name, every, timeZone, last, skipped } = schedule;
      const skip = skipped === undefined ? '' : `${new Date(skipped.at).toLocaleString()}: ${skipped.reason}`;
      return [name, every, timeZone, describeNext(schedule), last?.run ?? '', skip];
    }),
  );
}
