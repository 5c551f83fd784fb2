import type { ArgsDef } from 'citty';
import { settings } from '@sentvec/worker/settings';
import { type Command, defineCommand } from '../command.ts';
import { backendArguments } from '../model.ts';

export const worker: Command = defineCommand({
  name: 'worker',
  summary: 'Serve a queue: embed what others submit.',
  args: { ...settingArguments(), backend: backendArguments.backend, 'self-check': backendArguments['self-check'] },
  examples: [
    {
      line: 'sentvec worker --root /data',
      does: 'Serve the Redis of this machine, for corpora and outputs below /data',
    },
    {
      line: 'sentvec worker --redis rediss://user:secret@redis.example:6380 --root /data --model use-lite,/models/ours --host 0.0.0.0 --token "$TOKEN"',
      does: 'One of a fleet, with a dashboard that others may see',
    },
    {
      line: 'sentvec worker --root /data --plugin ./my-pooling.mjs,./my-workflow.mjs',
      does: 'With a pooling and a workflow of your own',
    },
  ],
  notes: [
    `Each flag can be set in the environment instead: ${Object.values(settings)
      .map(({ variable }) => variable)
      .join(', ')}.`,
    'HTTP: / is a dashboard, /queues shows the jobs, /healthz embeds a text, /readyz says whether jobs are taken, /metrics is for Prometheus. OTEL_EXPORTER_OTLP_ENDPOINT turns traces on.',
    'SIGTERM or Ctrl-C stops it: steps in progress may finish within --stop-timeout, then go back to the queue.',
  ],
  async run({ args, signal }) {
    const { readConfiguration, runWorker } = await import('@sentvec/worker');
    const given: Readonly<Record<string, unknown>> = args;
    const flags = Object.fromEntries(
      Object.values(settings).map(({ flag }) => [flag, given[flag] as string | undefined]),
    );
    const configuration = readConfiguration(flags);
    const backend = {
      module: new URL('../backend-module.js', import.meta.url).href,
      options: { name: args.backend, threads: configuration.threads },
    };
    await runWorker(configuration, { signal, backend, selfCheck: args['self-check'] });
  },
});

/** No defaults here: those of the settings come after the environment. */
function settingArguments(): ArgsDef {
  return Object.fromEntries(
    Object.values(settings).map(({ flag, hint, description, default: defaultValue }) => [
      flag,
      {
        type: 'string',
        valueHint: hint,
        description: defaultValue === undefined ? description : `${description} Default: ${defaultValue}.`,
      },
    ]),
  );
}
