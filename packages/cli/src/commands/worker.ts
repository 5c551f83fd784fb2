import type { ArgsDef } from 'citty';
import { settings } from '@sentvec/worker/settings';
import { type Command, defineCommand } from '../command.ts';
import { backendArguments } from '../model.ts';

export const worker: Command = defineCommand({
  name: 'worker',
  summary: 'Start a worker, which embeds the corpora that are submitted to a queue.',
  args: { ...settingArguments(), backend: backendArguments.backend, 'self-check': backendArguments['self-check'] },
  examples: [
    {
      line: 'sentvec worker --root /data',
      does: 'Use the local Redis; allow corpora and outputs below /data',
    },
    {
      line: 'sentvec worker --redis rediss://user:secret@redis.example:6380 --root /data --model use-lite,/models/ours --host 0.0.0.0 --token "$TOKEN"',
      does: 'A worker of a fleet, with a dashboard that other machines can open',
    },
    {
      line: 'sentvec worker --root /data --plugin ./my-pooling.mjs,./my-workflow.mjs',
      does: 'With a plugin: your own pooling and workflow',
    },
  ],
  notes: [
    `Each flag can also be set by an environment variable: ${Object.values(settings)
      .map(({ variable }) => variable)
      .join(', ')}.`,
    'HTTP: / is a dashboard, /queues shows the jobs, /healthz embeds a text, /readyz reports whether the worker accepts jobs, /metrics is for Prometheus. OTEL_EXPORTER_OTLP_ENDPOINT enables tracing.',
    'SIGTERM or Ctrl-C stops the worker. Active steps can finish within --stop-timeout; after that they return to the queue.',
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

/** The flags have no defaults here, because environment variables take precedence over defaults. */
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
