// `sentvec mine-negatives`.
import { writeFileAtomically } from '@sentvec/platform/node';
import { type Command, defineCommand } from '../command.ts';
import { embedWithProgress } from '../embed-with-progress.ts';
import type { MinedNegatives } from '@sentvec/training';
import { backendArguments, withDisposal, loadRerankerOf, modelArguments, withModel } from '../model.ts';
import { UsageError } from '../usage-error.ts';

export const mineNegatives: Command = defineCommand({
  name: 'mine-negatives',
  summary: 'Mine hard negatives for pairs: texts that are similar to the anchor but not its positive.',
  args: {
    file: {
      type: 'positional',
      required: true,
      description: 'CSV, TSV, JSON lines or Parquet: an anchor, its positive.',
    },
    output: {
      type: 'string',
      required: true,
      valueHint: 'FILE',
      description: 'JSON lines: anchor, positive, negative_1, negative_2, …',
    },
    ...modelArguments,
    ...backendArguments,
    columns: {
      type: 'string',
      default: 'anchor,positive',
      valueHint: 'ANCHOR,POSITIVE',
      description: 'Names of the columns.',
    },
    negatives: {
      type: 'string',
      default: '3',
      valueHint: 'N',
      description: 'Number of negatives per pair. Pairs with fewer are left out.',
    },
    'range-min': {
      type: 'string',
      default: '0',
      valueHint: 'N',
      description: 'Skip the nearest N candidates, because they may be unlabelled positives.',
    },
    'range-max': {
      type: 'string',
      default: '100',
      valueHint: 'N',
      description: 'Consider only the nearest N candidates.',
    },
    'max-score': {
      type: 'string',
      valueHint: 'X',
      description: 'Skip candidates that are more similar to the anchor than this.',
    },
    margin: {
      type: 'string',
      valueHint: 'X',
      description: 'A negative must be less similar to the anchor than the positive by at least this much.',
    },
    rerank: {
      type: 'string',
      valueHint: 'MODEL',
      description: 'A reranker. Its scores of the nearest texts replace similarities.',
    },
    scores: {
      type: 'boolean',
      description:
        'Also write the scores of the positive and of each negative, as labels for MarginMSELoss and DistillKLDivLoss.',
    },
    random: { type: 'boolean', description: 'Choose random eligible candidates instead of the nearest ones.' },
  },
  examples: [
    {
      line: 'sentvec mine-negatives pairs.jsonl --output triplets.jsonl --negatives 1 --margin 0.1',
      does: 'Triplets for TripletLoss or MultipleNegativesRankingLoss',
    },
    {
      line: 'sentvec mine-negatives pairs.jsonl --output scored.jsonl --rerank ./my-reranker --scores',
      does: 'Hard negatives by the scores of a reranker, with these scores as labels',
    },
  ],
  async run(context) {
    const { args, positionals, signal } = context;
    if (positionals.length > 1) throw new UsageError(`Name one file of pairs, not ${positionals.length}.`);
    const columns = args.columns.split(',').map((name) => name.trim());
    if (columns.length !== 2)
      throw new UsageError('--columns needs two columns, for example --columns question,answer.');
    const [{ mineHardNegatives }, { readTable }] = await Promise.all([
      import('@sentvec/training'),
      import('@sentvec/corpus'),
    ]);
    const { columns: texts } = await readTable({ file: args.file, columns });
    const [anchors = [], positives = []] = texts;
    const candidates = [...new Set(positives)];
    const right = positivesOf(anchors, positives);
    const options = {
      negatives: numberOf(args.negatives, '--negatives'),
      rangeMin: numberOf(args['range-min'], '--range-min'),
      rangeMax: numberOf(args['range-max'], '--range-max'),
      maxScore: args['max-score'] === undefined ? undefined : numberOf(args['max-score'], '--max-score'),
      margin: args.margin === undefined ? undefined : numberOf(args.margin, '--margin'),
      sampling: args.random ? ('random' as const) : ('top' as const),
      signal,
    };
    await withModel(args, context, async (embedder) => {
      const embed = embedWithProgress(embedder, signal);
      const isPositive = (anchor: number, candidate: number) =>
        right.get(anchors[anchor]!)!.has(candidates[candidate]!);
      const pool = { candidates: await embed(candidates), isPositive };
      const vectors = [await embed(anchors), await embed(positives)] as const;
      const reranker =
        args.rerank === undefined ? undefined : await loadRerankerOf({ ...args, model: args.rerank }, context);
      const rescore = async (anchor: number, rows: readonly number[]): Promise<Float32Array> => {
        const scored = [positives[anchor]!, ...rows.map((row) => candidates[row]!)];
        const { scores } = await reranker!.score(
          scored.map((text) => [anchors[anchor]!, text]),
          { signal },
        );
        return scores.data;
      };
      const mine = (): Promise<readonly MinedNegatives[]> =>
        mineHardNegatives(...vectors, pool, {
          ...options,
          similarity: embedder.similarityFunction,
          rescore: reranker && rescore,
        });
      const mined = await (reranker ? withDisposal(reranker, mine) : mine());
      const lines = mined.map(({ row, negatives, scores }) => {
        const named = negatives.map((candidate, index) => [`negative_${index + 1}`, candidates[candidate]]);
        return `${JSON.stringify({ anchor: anchors[row], positive: positives[row], ...Object.fromEntries(named), ...(args.scores && { scores }) })}\n`;
      });
      await writeFileAtomically(args.output, lines.join(''), { doing: 'Writing the mined pairs' });
      await context.print({
        text: `${mined.length} of ${anchors.length} pairs with ${options.negatives} negatives each, in ${args.output}`,
        json: { output: args.output, pairs: anchors.length, rows: mined.length, negatives: options.negatives },
      });
    });
  },
});

/** For each anchor: the anchor itself and its positives in all pairs, which must not become its negatives. */
function positivesOf(anchors: readonly string[], positives: readonly string[]): Map<string, Set<string>> {
  const all = new Map<string, Set<string>>();
  for (const [row, anchor] of anchors.entries()) {
    const own = all.get(anchor) ?? new Set([anchor]);
    all.set(anchor, own.add(positives[row]!));
  }
  return all;
}

function numberOf(text: string, flag: string): number {
  const value = Number(text);
  if (text.trim() !== '' && Number.isFinite(value)) return value;
  throw new UsageError(`${flag} is ${JSON.stringify(text)}, which is not a number.`);
}
