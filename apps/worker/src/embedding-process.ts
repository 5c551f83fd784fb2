// A process that embeds texts which may crash it. See IsolatedEmbedding.
import { writeFile } from 'node:fs/promises';
import { SentvecError, type Embedder } from '@sentvec/core';
import { IncomingCalls, type ChannelMessage, type Handlers } from '@sentvec/platform/node';
import { restrictAccess, silentLogger } from '@sentvec/workflow';
import { importBackend } from './backend-module.ts';
import type { EmbeddingCalls, EmbeddingProcessData } from './isolated-embedding.ts';
import { ModelRegistry } from './model-registry.ts';
import { loadPlugins } from './plugins.ts';

process.on('disconnect', () => process.exit());
// Only the worker stops this process. Ctrl-C and container runtimes send the signal to both processes; ignore it here.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => {});
process.once('message', (data: EmbeddingProcessData) => void serve(data));
// When memory runs out, the kernel should kill this process, not the worker.
writeFile('/proc/self/oom_score_adj', '1000').catch(() => {});

async function serve(data: EmbeddingProcessData): Promise<void> {
  const loading = load(data);
  const dense = async (): Promise<Embedder> => (await loading).getDense(data.model);
  const handlers: Handlers<EmbeddingCalls> = {
    embed: async ({ texts, options }, { signal }) => (await dense()).embed(texts, { ...options, signal }),
    embedPieces: async ({ texts, options }, { signal }) => (await dense()).embedPieces(texts, { ...options, signal }),
    embedSparse: async ({ texts, options: { as, ...options } }, { signal }) => {
      const model = await (await loading).get(data.model);
      if (model.kind !== 'sparse') throw new SentvecError('invalid-argument', `${data.model} is not a sparse model.`);
      return as === 'query'
        ? model.embedQuery(texts, { ...options, signal })
        : model.embedDocuments(texts, { ...options, signal });
    },
  };
  const incoming = new IncomingCalls((message) => void process.send?.(message), handlers);
  process.on('message', (message: ChannelMessage) => {
    if (message.kind === 'call' || message.kind === 'abort') incoming.receive(message);
  });
  await loading.catch(() => {});
}

/** Creates the model registry of this process, and loads its model. */
async function load({ model, backend, selfCheck, configuration }: EmbeddingProcessData): Promise<ModelRegistry> {
  const embedder = async (): Promise<never> => {
    throw new SentvecError('invalid-argument', 'The embedding process cannot execute workflows.');
  };
  const tools = { embedder, access: restrictAccess(configuration), logger: silentLogger };
  const { poolings } = await loadPlugins(configuration.plugins, tools);
  const registry = new ModelRegistry({ backend: await importBackend(backend), poolings, selfCheck });
  await registry.get(model);
  return registry;
}
