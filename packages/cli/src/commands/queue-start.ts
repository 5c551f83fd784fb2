// `sentvec queue start`: starts a run of any workflow that the workers of a queue have.
import { readFile } from 'node:fs/promises';
import { text as readText } from 'node:stream/consumers';
import { abortable } from '@sentvec/platform';
import { guardIo } from '@sentvec/platform/node';
import { type Command, defineCommand } from '../command.ts';
import { maxFailedArgument, readMaxFailed } from '../max-failed.ts';
import { wholeNumber } from '../parse-arguments.ts';
import { queueArguments, startArguments, withQueue } from '../queue/connection.ts';
import { UsageError } from '../usage-error.ts';

export const queueStart: Command = defineCommand({
  name: 'queue start',
  summary: "Start a plugin's workflow on the workers of a queue.",
  args: {
    workflow: {
      type: 'positional',
      required: true,
      description: 'The id of a workflow. sentvec queue workers lists them.',
    },
    input: {
      type: 'positional',
      required: true,
      description: 'The input: JSON, @FILE with JSON, or - for standard input.',
    },
    ...startArguments,
    ...maxFailedArgument,
    ...queueArguments,
  },
  examples: [
    {
      line: `sentvec queue start pages '{"folder": "/data/site", "index": "/data/index"}'`,
      does: 'Start a run, and print its id',
    },
    { line: 'sentvec queue start pages @input.json', does: 'Read the input from a file' },
  ],
  notes: [
    'The workers validate the input, because only they have the workflow (sentvec worker --plugin).',
    'Each start is a new run, unless --run-id is the id of an existing one. To embed a corpus, use sentvec queue submit.',
  ],
  async run({ args, positionals, print, note, signal }) {
    const [id, given, ...more] = positionals;
    if (id === undefined || given === undefined || more.length > 0)
      throw new UsageError('Name one workflow, and give its input as one argument: put JSON in single quotes.');
    const { defineWorkflow } = await import('@sentvec/workflow');
    const input = parseInput(await readInput(given, signal));
    // The files that the workflow reads are unknown here, so equal requests may have different results: no identity.
    const workflow = defineWorkflow({ id, input: anyInput, identify: async () => ({}) });
    const priority = wholeNumber(args.priority, '--priority');
    await withQueue(args, async (runtime) => {
      const run = await runtime.start(workflow, input, {
        id: args['run-id'],
        priority,
        maxFailed: readMaxFailed(args),
      });
      const status = await run.status();
      if (status.notice) note(status.notice);
      note(`Run ${run.id} is ${status.state}. Watch it: sentvec queue watch ${run.id}`);
      await print({ text: run.id, json: status });
    });
  },
});

/** A schema that accepts everything. */
const anyInput = {
  '~standard': { version: 1 as const, vendor: 'sentvec', validate: (value: unknown) => ({ value }) },
};

async function readInput(given: string, signal: AbortSignal): Promise<string> {
  if (given === '-') return readStandardInput(signal);
  if (!given.startsWith('@')) return given;
  const file = given.slice(1);
  return guardIo('Reading the input', file, () => readFile(file, 'utf8'));
}

async function readStandardInput(signal: AbortSignal): Promise<string> {
  try {
    return await abortable(readText(process.stdin), signal);
  } finally {
    // An open standard input would keep the process alive.
    process.stdin.destroy();
  }
}

function parseInput(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch (error) {
    throw new UsageError(`The input is not JSON: ${error instanceof Error ? error.message : String(error)}.`);
  }
}
