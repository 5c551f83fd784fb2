import { openBareProducts, operationsOf } from './bare-products.ts';
import { recordBatches } from './batch-shapes.ts';
import type { BenchModel } from './bench-model.ts';
import type { Candidate, OpenCandidate } from './candidate.ts';
import { median, medianRatio, timeInTurns, type Timed } from './rounds.ts';
import type { Workload } from './workload.ts';

/** The results for one model and one workload. */
export interface Measurement {
  readonly model: string;
  readonly workload: string;
  readonly texts: number;
  readonly tokens: number;
  readonly candidates: readonly CandidateResult[];
  /** Comparison of the first candidate with the bare products, if the sizes of the model are known. */
  readonly bare?: BareResult;
}

export interface CandidateResult {
  readonly name: string;
  readonly textsPerSecond: number;
  /** Speed of the first candidate relative to this one; median over the rounds. */
  readonly ratio: number;
  /** The largest difference of an entry of a vector from the first candidate's; `undefined`: they need not agree. */
  readonly difference: number | undefined;
}

export interface BareResult {
  /** Billions of floating-point operations per second of the bare products, all cores. */
  readonly gigaflops: number;
  /** Time of the bare products divided by that of the first candidate, in percent; median over the rounds. */
  readonly percent: number;
}

interface OpenEntry {
  readonly name: string;
  readonly isExact: boolean;
  readonly texts: readonly string[];
  readonly candidate: OpenCandidate;
}

/** Largest allowed difference between components of unit vectors from different implementations. */
const largestDifference = 1e-4;

const bareName = 'bare products';

/** Measures all candidates alternately on the same texts. @throws Error if their vectors differ */
export async function measure(
  model: BenchModel,
  directory: string,
  workload: Workload,
  candidates: readonly Candidate[],
  rounds: number,
): Promise<Measurement> {
  const texts = await workload.texts();
  const { batches, tokens } = await recordBatches(directory, texts);
  const open: OpenEntry[] = [];
  for (const each of candidates) {
    const { name, isExact = true } = each;
    open.push({ name, isExact, texts: texts.slice(0, each.texts), candidate: await each.open(directory) });
  }
  const bare = model.sizes && (await openBareProducts(model.sizes));
  try {
    const differences = await compareVectors(open);
    // Milliseconds for as many texts as all: some embed only a part.
    const entries: Timed[] = open.map(({ name, candidate, texts: own }) => ({
      name,
      run: async () => {
        const started = performance.now();
        await candidate.embed(own);
        return (performance.now() - started) * (texts.length / own.length);
      },
    }));
    if (bare) entries.push({ name: bareName, run: () => bare.run(batches) });
    const timings = await timeInTurns(entries, rounds);
    const first = candidates[0]!.name;
    const results = open.map(({ name }, index) => ({
      name,
      textsPerSecond: (texts.length / median(timings.get(name)!)) * 1000,
      ratio: medianRatio(timings, name, first),
      difference: differences[index],
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

/** @returns of each candidate the largest difference from the first; of one whose vectors need not agree `undefined` */
async function compareVectors(open: readonly OpenEntry[]): Promise<(number | undefined)[]> {
  let reference: Float32Array | undefined;
  const differences: (number | undefined)[] = [];
  for (const { name, candidate, isExact, texts } of open) {
    const vectors = await candidate.embed(texts);
    if (!isExact) {
      differences.push(undefined);
      continue;
    }
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
