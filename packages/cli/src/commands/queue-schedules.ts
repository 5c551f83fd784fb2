// The commands that show and end schedules; sentvec queue submit --every sets them.
import { SentvecError } from '@sentvec/platform';
import type { Schedule } from '@sentvec/queue/producer';
import { type Command, defineCommand } from '../command.ts';
import { queueArguments, withQueue } from '../queue/connection.ts';
import { describeNext } from '../queue/describe-run.ts';
import { renderTable } from '../table.ts';
import { UsageError } from '../usage-error.ts';

export const queueSchedules: Command = defineCommand({
  name: 'queue schedules',
  summary: 'What the workers of a queue embed again and again, and when next.',
  args: queueArguments,
  examples: [{ line: 'sentvec queue schedules', does: 'A table' }],
  async run({ args, print }) {
    const schedules = await withQueue(args, (runtime) => runtime.schedules());
    await print({ text: schedules.length === 0 ? 'No schedules.' : renderSchedules(schedules), json: schedules });
  },
});

export const queueUnschedule: Command = defineCommand({
  name: 'queue unschedule',
  summary: 'End a schedule. A run that it has started goes on.',
  args: { name: { type: 'positional', required: true, description: 'The name of a schedule.' }, ...queueArguments },
  examples: [{ line: 'sentvec queue unschedule reviews', does: 'By the name that it was submitted with' }],
  async run({ args, positionals, print }) {
    const [name, ...more] = positionals;
    if (name === undefined || more.length > 0)
      throw new UsageError('Name one schedule: sentvec queue schedules shows them.');
    if (!(await withQueue(args, (runtime) => runtime.unschedule(name)))) {
      const message = `There is no schedule ${name} in this queue. See: sentvec queue schedules`;
      throw new SentvecError('run-not-found', message, { schedule: name });
    }
    await print({ text: `The schedule ${name} has ended.`, json: { name } });
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
