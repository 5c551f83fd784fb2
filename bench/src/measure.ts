import { openBareProducts, operationsOf } from './bare-products.ts';
import { cutTexts } from './batch-shapes.ts';
import type { BenchModel } from './bench-model.ts';
import type { Contestant, OpenContestant } from './contestant.ts';
import { median, medianRatio, timeInTurns, type Timed } from './rounds.ts';
import type { Workload } from './workload.ts';

/** What one model and one workload gave. */
export interface Measurement {
  readonly model: string;
  readonly workload: string;
  readonly texts: number;
  readonly tokens: number;
  readonly contestants: readonly ContestantResult[];
  /** Of the first contestant, where the model's products are known. */
  readonly bare?: BareResult;
}

export interface ContestantResult {
  readonly name: string;
  readonly textsPerSecond: number;
  /** How many times as fast the first contestant is: the median over the rounds. */
  readonly ratio: number;
  /** The largest difference of an entry of a vector from the first contestant's. */
  readonly difference: number;
}

export interface BareResult {
  /** Billions of floating-point operations per second of the bare products, all cores. */
  readonly gigaflops: number;
  /** Time of the bare products over the first contestant's: the median over the rounds, in percent. */
  readonly percent: number;
}

/** Vectors of different implementations may differ by this much, an entry of a unit vector; more is an error. */
const largestDifference = 1e-4;

const bareName = 'bare products';

/** Lets the contestants embed the same texts in turns. @throws Error when they do not give the same vectors */
export async function measure(
  model: BenchModel,
  directory: string,
  workload: Workload,
  contestants: readonly Contestant[],
  rounds: number,
): Promise<Measurement> {
  const texts = await workload.texts();
  const { batches, tokens } = await cutTexts(directory, texts);
  const open: { readonly name: string; readonly contestant: OpenContestant }[] = [];
  for (const contestant of contestants)
    open.push({ name: contestant.name, contestant: await contestant.open(directory) });
  const bare = model.sizes && (await openBareProducts(model.sizes));
  try {
    const differences = await compareVectors(open, texts);
    const entries: Timed[] = open.map(({ name, contestant }) => ({
      name,
      run: async () => void (await contestant.embed(texts)),
    }));
    if (bare) entries.push({ name: bareName, run: () => bare.run(batches) });
    const timings = await timeInTurns(entries, rounds);
    const first = contestants[0]!.name;
    const results = open.map(({ name }, index) => ({
      name,
      textsPerSecond: (texts.length / median(timings.get(name)!)) * 1000,
      ratio: medianRatio(timings, name, first),
      difference: differences[index]!,
    }));
    const flops = model.sizes ? batches.reduce((sum, batch) => sum + operationsOf(model.sizes!, batch), 0) : 0;
    return {
      model: model.name,
      workload: workload.name,
      texts: texts.length,
      tokens,
      contestants: results,
      ...(bare && {
        bare: {
          gigaflops: flops / median(timings.get(bareName)!) / 1e6,
          percent: 100 * medianRatio(timings, bareName, first),
        },
      }),
    };
  } finally {
    await bare?.close();
    for (const { contestant } of open) await contestant.close();
  }
}

async function compareVectors(
  open: readonly { readonly name: string; readonly contestant: OpenContestant }[],
  texts: readonly string[],
): Promise<number[]> {
  let reference: Float32Array | undefined;
  const differences: number[] = [];
  for (const { name, contestant } of open) {
    const vectors = await contestant.embed(texts);
    reference ??= vectors;
    if (vectors.length !== reference.length)
      throw new Error(`${name} gave ${vectors.length} numbers, ${open[0]!.name} ${reference.length}.`);
    const difference = vectors.reduce(
      (worst, value, index) => Math.max(worst, Math.abs(value - reference![index]!)),
      0,
    );
    if (!(difference <= largestDifference))
      throw new Error(`The vectors of ${name} differ from those of ${open[0]!.name} by up to ${difference}.`);
    differences.push(difference);
  }
  return differences;
}
