import { openBareProducts, operationsOf } from './bare-products.ts';
import { recordBatches } from './batch-shapes.ts';
import type { BenchModel } from './bench-model.ts';
import type { Candidate, OpenCandidate } from './candidate.ts';
import { median, medianRatio, timeInTurns, type Timed } from './rounds.ts';
import type { Workload } from './workload.ts';

/** What one model and one workload gave. */
export interface Measurement {
  readonly model: string;
  readonly workload: string;
  readonly texts: number;
  readonly tokens: number;
  readonly candidates: readonly CandidateResult[];
  /** Of the first candidate, where the model's products are known. */
  readonly bare?: BareResult;
}

export interface CandidateResult {
  readonly name: string;
  readonly textsPerSecond: number;
  /** How many times as fast the first candidate is: the median over the rounds. */
  readonly ratio: number;
  /** The largest difference of an entry of a vector from the first candidate's. */
  readonly difference: number;
}

export interface BareResult {
  /** Billions of floating-point operations per second of the bare products, all cores. */
  readonly gigaflops: number;
  /** Time of the bare products over the first candidate's: the median over the rounds, in percent. */
  readonly percent: number;
}

/** Vectors of different implementations may differ by this much, an entry of a unit vector; more is an error. */
const largestDifference = 1e-4;

const bareName = 'bare products';

/** Lets the candidates embed the same texts in turns. @throws Error when they do not give the same vectors */
export async function measure(
  model: BenchModel,
  directory: string,
  workload: Workload,
  candidates: readonly Candidate[],
  rounds: number,
): Promise<Measurement> {
  const texts = await workload.texts();
  const { batches, tokens } = await recordBatches(directory, texts);
  const open: { readonly name: string; readonly candidate: OpenCandidate }[] = [];
  for (const candidate of candidates) open.push({ name: candidate.name, candidate: await candidate.open(directory) });
  const bare = model.sizes && (await openBareProducts(model.sizes));
  try {
    const differences = await compareVectors(open, texts);
    const entries: Timed[] = open.map(({ name, candidate }) => ({
      name,
      run: async () => void (await candidate.embed(texts)),
    }));
    if (bare) entries.push({ name: bareName, run: () => bare.run(batches) });
    const timings = await timeInTurns(entries, rounds);
    const first = candidates[0]!.name;
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
      candidates: results,
      ...(bare && {
        bare: {
          gigaflops: flops / median(timings.get(bareName)!) / 1e6,
          percent: 100 * medianRatio(timings, bareName, first),
        },
      }),
    };
  } finally {
    await bare?.close();
    for (const { candidate } of open) await candidate.close();
  }
}

async function compareVectors(
  open: readonly { readonly name: string; readonly candidate: OpenCandidate }[],
  texts: readonly string[],
): Promise<number[]> {
  let reference: Float32Array | undefined;
  const differences: number[] = [];
  for (const { name, candidate } of open) {
    const vectors = await candidate.embed(texts);
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
