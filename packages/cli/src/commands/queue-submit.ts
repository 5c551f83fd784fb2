// `sentvec queue submit`: submits a corpus to the workers of a queue, once or on a schedule.
import { resolve } from 'node:path';
import type { CorpusRequest } from '@sentvec/corpus';
import type { Command } from '../command.ts';
import { defineCorpusCommand } from '../corpus-arguments.ts';
import { defaultModel, modelArguments } from '../model.ts';
import { maxFailedArgument, readMaxFailed } from '../max-failed.ts';
import { wholeNumber } from '../parse-arguments.ts';
import type { ScheduleOptions } from '@sentvec/queue/producer';
import { queueArguments, startArguments, withQueue } from '../queue/connection.ts';
import { describeNext } from '../queue/describe-run.ts';
import { UsageError } from '../usage-error.ts';

export const queueSubmit: Command = defineCorpusCommand({
  name: 'queue submit',
  summary: 'Submit a corpus to the workers of a queue.',
  args: {
    model: modelArguments.model,
    fingerprint: {
      type: 'string',
      valueHint: 'HASH',
      description:
        'Fingerprint of the model, or its first digits, as sentvec queue workers shows it. Only workers with it execute the run. Default: that of the worker that started last.',
    },
    ...startArguments,
    ...maxFailedArgument,
    every: {
      type: 'string',
      valueHint: 'CRON',
      description: 'Run on a schedule, in cron syntax: minute, hour, day, month, day of the week. Needs --name.',
    },
    name: {
      type: 'string',
      valueHint: 'NAME',
      description: 'The name of the schedule. An existing schedule with this name is replaced.',
    },
    'time-zone': {
      type: 'string',
      valueHint: 'ZONE',
      description: 'The time zone of --every, such as Europe/Berlin. Default: the time zone of this machine.',
    },
    ...queueArguments,
  },
  examples: [
    {
      line: 'sentvec queue submit /data/reviews.jsonl --text body -o /data/vectors',
      does: 'Like sentvec embed, on workers with access to /data',
    },
    {
      line: "sentvec queue submit '/data/reviews/*.jsonl' --text body --id review_id -o /data/vectors --name reviews --every '0 3 * * *'",
      does: 'Embed changed rows every night at 3',
    },
    {
      line: 'sentvec queue submit /data/reviews.jsonl -o /data/vectors --max-failed 1%',
      does: 'Continue without chunks that fail, up to 1 % of them',
    },
    { line: 'sentvec queue watch "$(sentvec queue submit /data/*.jsonl -o /data/vectors)"', does: 'Submit and watch' },
  ],
  notes: [
    'Prints the id of the run. Repeating a request returns the active run, unless its files have changed; an unfinished run is continued. Only one run at a time can write to a folder.',
    'With --every, each run is an update (--update, unless there is --overwrite) with a new id, and readers have the earlier vectors until it is complete. A run is skipped if the previous one has not ended. sentvec queue schedules shows the next run; sentvec queue unschedule removes the schedule.',
    'With --max-failed, a chunk that fails permanently is skipped and the run continues. It then ends as incomplete: readers see no vectors, or the earlier ones. sentvec queue failed lists the failed chunks; sentvec queue replay retries them and completes the run.',
    'A run keeps the fingerprint that its model had when it began. Only workers with the same fingerprint execute its steps. If there are none, the run waits, and sentvec queue status shows the reason.',
    'The workers must have access to inputs and output under the same absolute paths, and must allow these paths (sentvec worker --root, --bucket) and the model (--model).',
  ],
  async run(request, { args, print, note }) {
    const { embedCorpusWorkflow } = await import('@sentvec/workflow');
    const priority = wholeNumber(args.priority, '--priority');
    const maxFailed = readMaxFailed(args);
    const { isStorageUri, locateFile } = await import('@sentvec/storage');
    for (const input of [...request.inputs, request.output]) if (isStorageUri(input)) locateFile(input);
    const { fingerprint } = args;
    const input = { model: absoluteModel(args.model), fingerprint, request: absolutePaths(request, isStorageUri) };
    const schedule = readSchedule(args, request, { priority, maxFailed });
    if (schedule !== undefined) {
      const update = { ...input, request: { ...input.request, update: request.overwrite !== true } };
      return withQueue(args, async (runtime) => {
        const set = await runtime.schedule(embedCorpusWorkflow(), update, schedule);
        note(`The first run will start ${describeNext(set)} (${set.timeZone}). See: sentvec queue schedules`);
        await print({ text: set.name, json: set });
      });
    }
    await withQueue(args, async (runtime) => {
      const run = await runtime.start(embedCorpusWorkflow(), input, { id: args['run-id'], priority, maxFailed });
      const status = await run.status();
      if (status.notice) note(status.notice);
      note(`Run ${run.id} is ${status.state}. Watch it: sentvec queue watch ${run.id}`);
      await print({ text: run.id, json: status });
    });
  },
});

/** Reads `--every` and the flags that depend on it. */
function readSchedule(
  args: {
    readonly every?: string | undefined;
    readonly name?: string | undefined;
    readonly 'time-zone'?: string | undefined;
    readonly 'run-id'?: string | undefined;
  },
  request: CorpusRequest,
  options: Pick<ScheduleOptions, 'priority' | 'maxFailed'>,
): ScheduleOptions | undefined {
  const { every, name, 'time-zone': timeZone } = args;
  if (every === undefined) {
    const stray = name === undefined ? timeZone && '--time-zone' : '--name';
    if (stray) throw new UsageError(`${stray} needs --every, the time of the runs in cron syntax.`);
    return undefined;
  }
  if (name === undefined) throw new UsageError('--every needs --name, the name of the schedule.');
  if (args['run-id'] !== undefined)
    throw new UsageError('--run-id and --every cannot be combined, because each run of a schedule gets a new id.');
  if (request.resume || request.retryRejected)
    throw new UsageError('With --every, each run is an update. Remove --resume and --retry-rejected.');
  return { name, every, timeZone, ...options };
}

/** Makes paths absolute, because workers have another working directory. */
function absolutePaths(request: CorpusRequest, isUri: (text: string) => boolean): CorpusRequest {
  if (request.inputs.includes('-'))
    throw new UsageError('Workers cannot read the standard input of this command. Write it to a file first.');
  const locate = (location: string): string => (isUri(location) ? location : resolve(location));
  return { ...request, inputs: request.inputs.map(locate), output: locate(request.output) };
}

function absoluteModel(model: string): string {
  return model !== defaultModel && /^\.{0,2}\//.test(model) ? resolve(model) : model;
}
