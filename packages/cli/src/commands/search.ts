// `sentvec search`: compares a query with every vector of a folder.
import { type Embedder, type EmbedOptions, type Matrix, type SearchHit, SentvecError } from '@sentvec/core';
import type { EmbeddingBatch, Embeddings, Manifest } from '@sentvec/corpus';
import { type Command, defineCommand } from '../command.ts';
import { backendArguments, modelArguments, withModel } from '../model.ts';
import { wholeNumber } from '../parse-arguments.ts';
import { excerpt, outputWidth, renderTable } from '../table.ts';
import { UsageError } from '../usage-error.ts';

/** A row of the answer. */
interface Hit {
  readonly rank: number;
  readonly score: number;
  readonly id: unknown;
  readonly text: string | undefined;
  readonly columns: Readonly<Record<string, unknown>>;
}

export const search: Command = defineCommand({
  name: 'search',
  summary: 'The rows of a folder of vectors that are nearest in meaning to a query.',
  args: {
    directory: { type: 'positional', required: true, description: 'A folder that sentvec embed made.' },
    query: { type: 'positional', required: true, description: 'What to look for, in quotes.' },
    top: { type: 'string', alias: 'k', valueHint: 'N', description: 'How many rows to show. Default: 5.' },
    model: {
      type: 'string',
      alias: 'm',
      valueHint: 'MODEL',
      description: 'Where the model is now. Default: where it was.',
    },
    prompt: {
      type: 'string',
      valueHint: 'NAME',
      description: "Prompt of the query. Default: the model's prompt for queries, if it has one.",
    },
    route: {
      ...modelArguments.route,
      description: 'For a model with several routes (a Router): that of the query. Default: query.',
    },
    task: {
      ...modelArguments.task,
      description: 'For a model with adapters for tasks: that of the query. Default: retrieval.query, say.',
    },
    ...backendArguments,
  },
  examples: [
    { line: 'sentvec search vectors "the battery does not last"', does: 'The five best' },
    { line: 'sentvec search vectors "late delivery" -k 100 --json', does: 'The hundred best, for a program' },
  ],
  notes: ['Every vector is compared. The model is the one that made the vectors; a model of another space is refused.'],
  async run(context) {
    const { args, positionals, signal } = context;
    const { directory, query } = args;
    const rest = positionals.slice(2);
    if (rest.length > 0)
      throw new UsageError(`Put the query in quotes: sentvec search ${directory} "${[query, ...rest].join(' ')}"`);
    const topK = wholeNumber(args.top, '--top') ?? 5;
    const { openEmbeddings } = await import('@sentvec/corpus');
    const embeddings = await openEmbeddings(directory);
    const { manifest } = embeddings;
    const choice = {
      ...args,
      model: args.model ?? manifest.model,
      revision: args.model === undefined ? (manifest.revision ?? undefined) : undefined,
      route: args.route ?? manifest.options.route,
      task: args.task ?? manifest.options.task,
      as: 'query' as const,
    };
    const hits = await withModel(choice, context, async (embedder) => {
      await checkSpace(directory, manifest, embedder);
      const options = await queryOptions(embedder, manifest, args);
      const { vectors } = await embedder.embed([query], { ...options, signal });
      return findHits(embeddings, vectors, topK, signal);
    }).catch((error: unknown) => {
      throw args.model === undefined && SentvecError.is(error, 'model-not-found')
        ? movedModel(directory, error)
        : error;
    });
    await context.print({
      text: renderHits(hits),
      json: { query, model: manifest.model, similarity: manifest.similarityFunction, hits },
    });
  },
});

async function checkSpace(directory: string, manifest: Manifest, embedder: Embedder): Promise<void> {
  const { differingParts, embedOptions } = await import('@sentvec/corpus');
  const { hash, parts } = await embedder.fingerprint(embedOptions(manifest.options));
  if (hash === manifest.fingerprint) return;
  const different = differingParts(manifest.fingerprintParts, parts).join(', ') || 'the fingerprint';
  throw new SentvecError(
    'space-mismatch',
    `${directory} holds vectors of another space than ${embedder.model.name} makes now; what differs: ${different}. ` +
      'Search with the model that made them (--model), or embed the corpus again.',
    { file: directory, parts: different },
  );
}

/**
 * Like the corpus, but as a query. What the corpus was told to use instead of what is for documents, a prompt or a task,
 * the query gets too, unless the model has one for queries.
 */
async function queryOptions(
  { prompts }: Embedder,
  { options }: Manifest,
  asked: Pick<EmbedOptions, 'prompt' | 'route' | 'task'>,
): Promise<EmbedOptions> {
  const { embedOptions } = await import('@sentvec/corpus');
  const { isDocumentTask } = await import('@sentvec/core');
  const { prompt, task, ...others } = embedOptions(options);
  return {
    ...others,
    as: 'query',
    prompt: asked.prompt ?? (Object.hasOwn(prompts, 'query') ? undefined : prompt),
    route: asked.route,
    task: asked.task ?? (task === undefined || isDocumentTask(task) ? undefined : task),
  };
}

function movedModel(directory: string, { code, message, details }: SentvecError): SentvecError {
  return new SentvecError(
    code,
    `${message} It made the vectors in ${directory}; say where it is now: --model FOLDER`,
    details,
  );
}

/** Searches shard after shard, so that the texts of the hits are at hand and memory does not grow with the corpus. */
async function findHits(embeddings: Embeddings, query: Matrix, topK: number, signal: AbortSignal): Promise<Hit[]> {
  const core = await import('@sentvec/core');
  const similarity = embeddings.manifest.similarityFunction;
  let best: Omit<Hit, 'rank'>[] = [];
  for await (const batch of embeddings.batches()) {
    const { vectors } = batch;
    if (vectors.rows === 0) continue;
    const options = { topK, signal };
    const [hits] =
      'precision' in vectors
        ? await core.searchQuantized(query, vectors, options)
        : await core.semanticSearch(query, vectors, { ...options, similarity });
    best = [...best, ...hits!.map((hit) => describe(hit, batch))].sort((a, b) => b.score - a.score).slice(0, topK);
  }
  return best.map((hit, index) => ({ rank: index + 1, ...hit }));
}

function describe({ row, score }: SearchHit, { ids, texts, columns }: EmbeddingBatch): Omit<Hit, 'rank'> {
  const kept = Object.entries(columns).map(([name, values]) => [name, values[row]]);
  return { score, id: ids[row], text: texts?.[row], columns: Object.fromEntries(kept) };
}

function renderHits(hits: readonly Hit[]): string {
  const ids = hits.map(({ id }) => excerpt(String(id), 24));
  const width = Math.max(20, outputWidth() - Math.max(2, ...ids.map(({ length }) => length)) - 16);
  return renderTable(
    [{ title: '#', align: 'right' }, { title: 'score', align: 'right' }, { title: 'id' }, { title: 'text' }],
    hits.map(({ rank, score, text }, index) => [
      String(rank),
      score.toFixed(4),
      ids[index]!,
      text === undefined ? '(texts were not kept)' : excerpt(text, width),
    ]),
  );
}
