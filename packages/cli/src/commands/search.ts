// `sentvec search`: compares a query with every vector of a folder.
import { SentvecError } from '@sentvec/platform';
import type { IndexHit } from '@sentvec/corpus';
import { type Command, defineCommand } from '../command.ts';
import { backendArguments, loadRanker, modelArguments, withModel } from '../model.ts';
import { wholeNumber } from '../parse-arguments.ts';
import { excerpt, outputWidth, renderTable } from '../table.ts';
import { UsageError } from '../usage-error.ts';

/** A search result. */
interface Hit {
  readonly rank: number;
  readonly score: number;
  /** The scores of the stages, if there are several. */
  readonly scores?: IndexHit['scores'] | undefined;
  readonly id: unknown;
  readonly text: string | undefined;
  /** The position of the piece in its row, if rows were embedded in pieces. In UTF-16 code units. */
  readonly piece?: IndexHit['piece'];
  readonly columns: Readonly<Record<string, unknown>>;
}

export const search: Command = defineCommand({
  name: 'search',
  summary: 'Search a folder of vectors for the rows that are most similar to a query.',
  args: {
    directory: { type: 'positional', required: true, description: 'An output folder of sentvec embed.' },
    query: { type: 'positional', required: true, description: 'The query, in quotes.' },
    top: { type: 'string', alias: 'k', valueHint: 'N', description: 'How many rows to show. Default: 5.' },
    hybrid: {
      type: 'boolean',
      description:
        'Search by words (BM25) and by meaning, and combine both rankings. Needs the texts, which are kept by default.',
    },
    rerank: {
      type: 'string',
      valueHint: 'MODEL',
      description: 'A reranker or a late-interaction model, which sorts the best fifty rows by its scores.',
    },
    model: {
      type: 'string',
      alias: 'm',
      valueHint: 'MODEL',
      description: 'The model, if its folder has moved. Default: as recorded in the manifest.',
    },
    prompt: {
      type: 'string',
      valueHint: 'NAME',
      description: "Name of the query's prompt. Default: the model's prompt for queries, if it has one.",
    },
    route: {
      ...modelArguments.route,
      description: 'For a model with a Router: the route of the query. Default: query.',
    },
    task: {
      ...modelArguments.task,
      description:
        'For a model with task adapters: the task of the query. Default: the task for queries, such as retrieval.query.',
    },
    pieces: {
      type: 'boolean',
      description:
        'If rows were embedded in pieces, show each piece as a result. Default: only the best piece of a row.',
    },
    ...backendArguments,
  },
  examples: [
    { line: 'sentvec search vectors "the battery does not last"', does: 'The five best rows' },
    {
      line: 'sentvec search vectors "error E-1042" --hybrid',
      does: 'Also find exact words: names, numbers, codes',
    },
    {
      line: 'sentvec search vectors "late delivery" --hybrid --rerank cross-encoder/ms-marco-MiniLM-L6-v2',
      does: 'Three stages: by meaning, by words, and a reranker',
    },
    { line: 'sentvec search vectors "late delivery" -k 100 --json', does: 'The hundred best rows as JSON' },
  ],
  notes: [
    'The search is exact: every vector is compared. It uses the model that made the vectors; a model with another space is an error.',
  ],
  async run(context) {
    const { args, positionals, signal } = context;
    const { directory, query } = args;
    const rest = positionals.slice(2);
    if (rest.length > 0)
      throw new UsageError(`Put the query in quotes: sentvec search ${directory} "${[query, ...rest].join(' ')}"`);
    const topK = wholeNumber(args.top, '--top') ?? 5;
    const { openEmbeddings, openIndex } = await import('@sentvec/corpus');
    const { manifest } = await openEmbeddings(directory);
    const choice = {
      ...args,
      model: args.model ?? manifest.model,
      revision: args.model === undefined ? (manifest.revision ?? undefined) : undefined,
      route: args.route ?? manifest.options.route,
      task: args.task ?? manifest.options.task,
      as: 'query' as const,
    };
    const found = await withModel(choice, context, async (embedder) => {
      const { prompt, route, task } = args;
      const by = args.hybrid ? 'both' : 'meaning';
      const eachPiece = args.pieces === true;
      const reranker =
        args.rerank === undefined ? undefined : await loadRanker({ ...args, model: args.rerank }, context);
      try {
        const index = await openIndex(directory, { embedder, reranker, signal });
        return await index.search(query, { topK, by, eachPiece, query: { prompt, route, task }, signal });
      } finally {
        await reranker?.dispose();
      }
    }).catch((error: unknown) => {
      throw args.model === undefined && SentvecError.is(error, 'model-not-found')
        ? movedModel(directory, error)
        : error;
    });
    const isStaged = args.hybrid === true || args.rerank !== undefined;
    const hits = found.map(({ score, scores, id, text, piece, columns }, index) => ({
      rank: index + 1,
      score,
      ...(isStaged ? { scores } : {}),
      id,
      text,
      ...(piece && { piece }),
      columns,
    }));
    await context.print({
      text: renderHits(hits),
      json: { query, model: manifest.model, similarity: manifest.similarityFunction, hits },
    });
  },
});

function movedModel(directory: string, { code, message, details }: SentvecError): SentvecError {
  return new SentvecError(
    code,
    `${message} This model made the vectors in ${directory}. If it has moved, give its new location: --model FOLDER`,
    details,
  );
}

function renderHits(hits: readonly Hit[]): string {
  const ids = hits.map(({ id, piece }) => {
    const position = piece === undefined ? '' : ` ${piece.start}–${piece.end}`;
    return excerpt(String(id), 24) + position;
  });
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
