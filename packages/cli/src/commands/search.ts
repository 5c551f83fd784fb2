// `sentvec search`: compares a query with every vector of a folder.
import { SentvecError } from '@sentvec/platform';
import type { IndexHit } from '@sentvec/corpus';
import { type Command, defineCommand } from '../command.ts';
import { backendArguments, loadRanker, modelArguments, withModel } from '../model.ts';
import { wholeNumber } from '../parse-arguments.ts';
import { excerpt, outputWidth, renderTable } from '../table.ts';
import { UsageError } from '../usage-error.ts';

/** A row of the answer. */
interface Hit {
  readonly rank: number;
  readonly score: number;
  /** The score of each stage, where there are several. */
  readonly scores?: IndexHit['scores'] | undefined;
  readonly id: unknown;
  readonly text: string | undefined;
  /** Where the text is in its row, when rows were embedded in pieces: in UTF-16 units. */
  readonly piece?: IndexHit['piece'];
  readonly columns: Readonly<Record<string, unknown>>;
}

export const search: Command = defineCommand({
  name: 'search',
  summary: 'The rows of a folder of vectors that are nearest in meaning to a query.',
  args: {
    directory: { type: 'positional', required: true, description: 'A folder that sentvec embed made.' },
    query: { type: 'positional', required: true, description: 'What to look for, in quotes.' },
    top: { type: 'string', alias: 'k', valueHint: 'N', description: 'How many rows to show. Default: 5.' },
    hybrid: {
      type: 'boolean',
      description:
        'By words (BM25) as well as by meaning, the two rankings fused. Needs the texts, which are kept by default.',
    },
    rerank: {
      type: 'string',
      valueHint: 'MODEL',
      description:
        'A reranker, which reads the query with each of the best fifty rows, and sorts them by its scores; or a model of late interaction.',
    },
    model: {
      type: 'string',
      alias: 'm',
      valueHint: 'MODEL',
      description: 'The model, if it has moved. Default: as recorded in the folder.',
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
      description:
        'For a model with adapters for tasks: that of the query. Default: the one for queries, such as retrieval.query.',
    },
    pieces: {
      type: 'boolean',
      description: 'Each piece of a row is a hit, where rows were embedded in pieces. Default: the best one of a row.',
    },
    ...backendArguments,
  },
  examples: [
    { line: 'sentvec search vectors "the battery does not last"', does: 'The five best' },
    {
      line: 'sentvec search vectors "error E-1042" --hybrid',
      does: 'Where words count as well: names, numbers, codes',
    },
    {
      line: 'sentvec search vectors "late delivery" --hybrid --rerank cross-encoder/ms-marco-MiniLM-L6-v2',
      does: 'Three stages: by meaning, by words, and by a model that reads both together',
    },
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
    `${message} It made the vectors in ${directory}; say where it is now: --model FOLDER`,
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
