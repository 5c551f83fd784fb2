// `sentvec queue submit`: a corpus for the workers of a queue, once or again and again.
import { resolve } from 'node:path';
import type { CorpusRequest } from '@sentvec/corpus';
import type { Command } from '../command.ts';
import { defineCorpusCommand } from '../corpus-arguments.ts';
import { defaultModel, modelArguments } from '../model.ts';
import { wholeNumber } from '../parse-arguments.ts';
import type { ScheduleOptions } from '@sentvec/queue/producer';
import { queueArguments, startArguments, withQueue } from '../queue/connection.ts';
import { describeNext } from '../queue/describe-run.ts';
import { UsageError } from '../usage-error.ts';

export const queueSubmit: Command = defineCorpusCommand({
  name: 'queue submit',
  summary: 'Have the workers of a queue embed a corpus.',
  args: {
    model: modelArguments.model,
    ...startArguments,
    every: {
      type: 'string',
      valueHint: 'CRON',
      description: 'Again and again: minute, hour, day, month, day of the week, as in cron. With --name.',
    },
    name: { type: 'string', valueHint: 'NAME', description: 'Of the schedule. One of that name is replaced.' },
    'time-zone': {
      type: 'string',
      valueHint: 'ZONE',
      description: 'Of --every, such as Europe/Berlin. Default: that of this machine.',
    },
    ...queueArguments,
  },
  examples: [
    {
      line: 'sentvec queue submit /data/reviews.jsonl --text body -o /data/vectors',
      does: 'As sentvec embed, by workers that see /data',
    },
    {
      line: "sentvec queue submit '/data/reviews/*.jsonl' --text body --id review_id -o /data/vectors --name reviews --every '0 3 * * *'",
      does: 'What has changed, each night at 3',
    },
    { line: 'sentvec queue watch "$(sentvec queue submit /data/*.jsonl -o /data/vectors)"', does: 'And watch it' },
  ],
  notes: [
    'Prints the id of the run. The same request again joins the run that is going on, unless its files have changed; a run that ended unfinished is continued. Only one run writes to a folder at a time.',
    'With --every, each run is an update (--update, unless there is --overwrite) with an id of its own, and readers have the earlier vectors until it is complete. While the run before has not ended, none is started. sentvec queue schedules shows when the next one is; sentvec queue unschedule ends it.',
    'The workers must reach inputs and output under the same absolute paths, and allow them (sentvec worker --root, --bucket) and the model (--model).',
  ],
  async run(request, { args, print, note }) {
    const { embedCorpusWorkflow } = await import('@sentvec/workflow');
    const priority = wholeNumber(args.priority, '--priority');
    const { isStorageUri, locateFile } = await import('@sentvec/storage');
    for (const input of [...request.inputs, request.output]) if (isStorageUri(input)) locateFile(input);
    const input = { model: absoluteModel(args.model), request: absolutePaths(request, isStorageUri) };
    const schedule = readSchedule(args, request, priority);
    if (schedule !== undefined) {
      const update = { ...input, request: { ...input.request, update: request.overwrite !== true } };
      return withQueue(args, async (runtime) => {
        const set = await runtime.schedule(embedCorpusWorkflow(), update, schedule);
        note(`The first run is ${describeNext(set)} (${set.timeZone}). See: sentvec queue schedules`);
        await print({ text: set.name, json: set });
      });
    }
    await withQueue(args, async (runtime) => {
      const run = await runtime.start(embedCorpusWorkflow(), input, { id: args['run-id'], priority });
      const status = await run.status();
      if (status.notice) note(status.notice);
      note(`Run ${run.id} is ${status.state}. Watch it: sentvec queue watch ${run.id}`);
      await print({ text: run.id, json: status });
    });
  },
});

/** What `--every` and the flags that belong to it say. */
function readSchedule(
  args: {
    readonly every?: string | undefined;
    readonly name?: string | undefined;
    readonly 'time-zone'?: string | undefined;
    readonly 'run-id'?: string | undefined;
  },
  request: CorpusRequest,
  priority: number | undefined,
): ScheduleOptions | undefined {
  const { every, name, 'time-zone': timeZone } = args;
  if (every === undefined) {
    const stray = name === undefined ? timeZone && '--time-zone' : '--name';
    if (stray) throw new UsageError(`${stray} needs --every, which says when to run.`);
    return undefined;
  }
  if (name === undefined) throw new UsageError('--every needs --name, by which the schedule is found again.');
  if (args['run-id'] !== undefined)
    throw new UsageError('--run-id and --every exclude each other: each run of a schedule has an id of its own.');
  if (request.resume || request.retryRejected)
    throw new UsageError('With --every, each run is an update: leave out --resume and --retry-rejected.');
  return { name, every, timeZone, priority };
}

/** Workers have another working folder. */
function absolutePaths(request: CorpusRequest, isUri: (text: string) => boolean): CorpusRequest {
  if (request.inputs.includes('-'))
    throw new UsageError('Workers cannot read the standard input of this command: write it to a file.');
  const locate = (location: string): string => (isUri(location) ? location : resolve(location));
  return { ...request, inputs: request.inputs.map(locate), output: locate(request.output) };
}

function absoluteModel(model: string): string {
  return model !== defaultModel && /^\.{0,2}\//.test(model) ? resolve(model) : model;
}
