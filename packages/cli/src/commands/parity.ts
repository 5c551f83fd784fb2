// `sentvec parity`: embeds the same texts on every backend, and compares the vectors.
import type { Embedder, Matrix } from '@sentvec/core';
import { backendNames } from '../backends.ts';
import { type Command, defineCommand } from '../command.ts';
import { exitCode } from '../exit-codes.ts';
import { type LoadContext, modelArguments, type ModelChoice, modelPositional, withModel } from '../model.ts';
import { renderTable } from '../table.ts';
import { UsageError } from '../usage-error.ts';

/** Default tolerances: the largest allowed difference of two entries, for two CPU backends and for pairs with a GPU. */
const tolerances = { cpu: 1e-5, gpu: 1e-4 } as const;

const paragraph =
  'The harbour was quiet when the first boats came in. Nets were dried, fish were counted, and somebody laughed at a story that ' +
  'nobody else had heard. By noon the market had sold everything but the eels. ';

/** The texts that backends are compared on: short, long and nearly empty ones, in several scripts. */
const parityTexts: readonly string[] = [
  'A cat sleeps in the sun.',
  'How do I reset my password?',
  'no',
  'a',
  '.',
  ' ',
  '1,024 × 768 = 786,432',
  'Die Straße nach Köln ist gesperrt.',
  '東京は今日も雨です。',
  'Привет, мир! مرحبا بالعالم',
  '👩‍🚀🚀 naïve café — “quoted”',
  'word '.repeat(40),
  paragraph,
  paragraph.repeat(12),
];

export const parity: Command = defineCommand({
  name: 'parity',
  summary: 'Compare the vectors of all backends, and print the largest difference of each pair.',
  args: {
    model: modelPositional,
    revision: modelArguments.revision,
    tolerance: {
      type: 'string',
      valueHint: 'X',
      description: `The largest allowed difference of two entries. Default: ${tolerances.cpu.toExponential()}, with a GPU ${tolerances.gpu.toExponential()}.`,
    },
  },
  examples: [
    { line: 'sentvec parity', does: 'The default model on every available backend' },
    { line: 'sentvec parity ./my-model --json', does: 'Your own model; output in JSON' },
  ],
  notes: [
    'The exit code is 1 if a pair differs by more than the tolerance, or if fewer than two backends work on this machine.',
  ],
  async run(context) {
    const { args, positionals } = context;
    if (positionals.length > 1) throw new UsageError(`Name one model, not ${positionals.length}.`);
    const allowed = args.tolerance === undefined ? undefined : positiveNumber(args.tolerance);
    const runs: BackendRun[] = [];
    const missing: { backend: string; reason: string }[] = [];
    for (const backend of backendNames) {
      const run = await embedOn(backend, args, context);
      if ('reason' in run) missing.push(run);
      else runs.push(run);
    }
    const pairs = runs.flatMap((a, index) => runs.slice(index + 1).map((b) => comparePair(a, b, allowed)));
    const same = pairs.length > 0 && pairs.every(({ ok }) => ok);
    const texts = runs[0]?.vectors.rows ?? 0;
    await context.print({
      text: render(pairs, missing, texts),
      json: { model: args.model, texts, pairs, missing, same },
    });
    return same ? exitCode.ok : exitCode.failure;
  },
});

interface BackendRun {
  readonly backend: string;
  readonly vectors: Matrix;
  readonly gpu: boolean;
}

interface Pair {
  readonly backends: readonly [string, string];
  /** Largest absolute difference of an entry. */
  readonly difference: number;
  /** The smallest cosine of two vectors of one text. */
  readonly cosine: number;
  readonly tolerance: number;
  readonly ok: boolean;
}

async function embedOn(
  backend: string,
  choice: Omit<ModelChoice, 'backend'>,
  context: LoadContext,
): Promise<BackendRun | { readonly backend: string; readonly reason: string }> {
  const { SentvecError } = await import('@sentvec/platform');
  try {
    // Without the self-check, so that a wrong backend is measured and not rejected.
    return await withModel(
      { model: choice.model, revision: choice.revision, backend, selfCheck: false },
      context,
      async (embedder) => {
        const { vectors } = await embedder.embed(await readableTexts(embedder), { signal: context.signal });
        return { backend, vectors, gpu: embedder.encoder.roundingError !== undefined };
      },
    );
  } catch (error) {
    if (!SentvecError.is(error, 'backend-unavailable')) throw error;
    return { backend, reason: error.message };
  }
}

/**
 * Removes texts without tokens, which have no vector: some tokenizers have no tokens for blanks or for some scripts.
 */
async function readableTexts({ tokenizer, maxLength }: Embedder): Promise<readonly string[]> {
  const tokenized = await tokenizer.encode(parityTexts, {
    maxLength: Math.min(maxLength, 512),
    addSpecialTokens: false,
  });
  return parityTexts.filter((_, index) => tokenized[index]!.ids.length > 0);
}

function comparePair(a: BackendRun, b: BackendRun, allowed: number | undefined): Pair {
  const tolerance = allowed ?? (a.gpu || b.gpu ? tolerances.gpu : tolerances.cpu);
  let difference = 0;
  let cosine = 1;
  for (let row = 0; row < a.vectors.rows; row += 1) {
    const [x, y] = [a, b].map(({ vectors: { data, cols } }) => data.subarray(row * cols, (row + 1) * cols)) as [
      Float32Array,
      Float32Array,
    ];
    for (const [index, entry] of x.entries()) difference = Math.max(difference, Math.abs(entry - y[index]!));
    cosine = Math.min(cosine, dot(x, y) / Math.sqrt(dot(x, x) * dot(y, y)));
  }
  return { backends: [a.backend, b.backend], difference, cosine, tolerance, ok: difference <= tolerance };
}

function dot(x: Float32Array, y: Float32Array): number {
  return x.reduce((sum, entry, index) => sum + entry * y[index]!, 0);
}

function render(
  pairs: readonly Pair[],
  missing: readonly { backend: string; reason: string }[],
  texts: number,
): string {
  const rows = pairs.map(({ backends, difference, cosine, tolerance, ok }) => [
    backends.join(' – '),
    difference.toExponential(1),
    cosine.toFixed(9),
    ok ? `equal within ${tolerance.toExponential()}` : `NOT EQUAL: more than ${tolerance.toExponential()}`,
  ]);
  const columns = [{ title: `${texts} texts` }, { title: 'difference' }, { title: 'cosine' }, { title: '' }];
  const notes = missing.map(
    ({ backend, reason }) => `${backend} does not work on this machine: ${reason.split('\n')[0]!}`,
  );
  return [
    ...(rows.length === 0
      ? ['Fewer than two backends work on this machine, so there is nothing to compare.']
      : [renderTable(columns, rows)]),
    ...notes,
  ].join('\n');
}

function positiveNumber(text: string): number {
  const value = Number(text);
  if (value > 0 && Number.isFinite(value)) return value;
  throw new UsageError(`--tolerance must be a number above 0; it is ${JSON.stringify(text)}.`);
}
