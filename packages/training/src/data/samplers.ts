// Samplers: they divide the examples of an epoch into batches.
import { absentDocument } from '../losses/listwise.ts';
import { Random } from '../random.ts';

/** Examples in columns: texts, and labels if the loss needs them. Row i of each column belongs to example i. */
export interface ExampleTable {
  readonly columns: readonly (readonly string[])[];
  /**
   * `labelWidth` numbers for each example. For losses over classes: the class of the example, a string or a number; 1
   * and '1' are different classes.
   */
  readonly labels?: ArrayLike<number | string> | undefined;
  /** @default 1 */
  readonly labelWidth?: number | undefined;
  /**
   * Further keys of each example, such as its classes: `noDuplicates` puts no two examples with a common key into a
   * batch.
   */
  readonly distinct?: readonly (readonly string[])[] | undefined;
}

/** The second argument of a {@link Sampler}. */
export interface SamplingRequest {
  readonly batchSize: number;
  readonly seed: number;
  /** Counted from 0. The same seed and epoch must give the same batches, so that a resumed run repeats them. */
  readonly epoch: number;
}

/**
 * Divides the examples of an epoch into batches. A batch is a list of row numbers. Batches have `batchSize` examples;
 * only the last ones may have fewer.
 */
export type Sampler = (examples: ExampleTable, request: SamplingRequest) => Int32Array[];

/** Every example once, in random order. */
export const shuffled: Sampler = (examples, { batchSize, seed, epoch }) =>
  inBatchesOf(shuffledOrder(examples, seed, epoch), batchSize);

/** Every example once, in the order of the data. */
export const inOrder: Sampler = (examples, { batchSize }) =>
  inBatchesOf(
    Int32Array.from(examples.columns[0] ?? [], (_, row) => row),
    batchSize,
  );

/**
 * Every example once, in random order, and no text twice in a batch: with in-batch negatives a repeated text would be a
 * false negative. An example goes into the first batch that has room and comes after every batch with one of its texts;
 * finding that batch takes about constant time. If a text repeats often, the last batches are small. Padding documents
 * of short lists do not count as texts.
 */
export const noDuplicates: Sampler = (examples, { batchSize, seed, epoch }) => {
  const batches: number[][] = [];
  /** For each text (index 0) and each key of `distinct` (index 1): the batch after the last one that contains it. */
  const free = [new Map<string, number>(), new Map<string, number>()];
  const roomFrom = new FirstWithRoom();
  for (const row of shuffledOrder(examples, seed, epoch)) {
    const keys = [textsOf(examples, row), examples.distinct?.[row] ?? []];
    const first = keys.flatMap((own, kind) => own.map((key) => free[kind]!.get(key) ?? 0));
    const index = roomFrom.find(Math.max(...first));
    const batch = (batches[index] ??= []);
    batch.push(row);
    if (batch.length === batchSize) roomFrom.close(index);
    for (const [kind, own] of keys.entries()) for (const key of own) free[kind]!.set(key, index + 1);
  }
  return batches.map((batch) => Int32Array.from(batch));
};

function textsOf({ columns, labels, labelWidth }: ExampleTable, row: number): string[] {
  const texts = columns.map((column) => column[row]!);
  if (labelWidth === undefined || labelWidth !== columns.length - 1) return texts;
  return texts.filter((_, column) => column === 0 || labels?.[row * labelWidth + column - 1] !== absentDocument);
}

/** Finds the first batch with room at or after a given batch. Runs of full batches are skipped (path compression). */
class FirstWithRoom {
  /** For a full batch: a later batch to continue with. */
  readonly #next: number[] = [];

  find(index: number): number {
    let found = index;
    while (this.#next[found] !== undefined) found = this.#next[found]!;
    for (let at = index; at !== found;) {
      const following = this.#next[at]!;
      this.#next[at] = found;
      at = following;
    }
    return found;
  }

  close(index: number): void {
    this.#next[index] = index + 1;
  }
}

/**
 * Pairs of examples of the same class, in random order. Every example of a batch thus shares its class with another
 * one, which batch-hard and batch-all triplet losses need. If a class has an odd number of examples, one is left out of
 * the epoch.
 */
export const groupedByLabel: Sampler = (examples, { batchSize, seed, epoch }) => {
  const classes = new Map<number | string, number[]>();
  for (const row of shuffledOrder(examples, seed, epoch)) {
    const label = examples.labels?.[row] ?? 0;
    const members = classes.get(label);
    if (members === undefined) classes.set(label, [row]);
    else members.push(row);
  }
  const pairs = [...classes.values()].flatMap((members) =>
    Array.from({ length: Math.floor(members.length / 2) }, (_, pair) => [members[2 * pair]!, members[2 * pair + 1]!]),
  );
  new Random(seed, 2 * epoch + 1).shuffle(pairs);
  return inBatchesOf(Int32Array.from(pairs.flat()), Math.max(2, batchSize - (batchSize % 2)));
};

/** Every example once, in batches of similar length, the batches in random order. This minimizes padding. */
export const byLength: Sampler = (examples, { batchSize, seed, epoch }) => {
  const lengths = (row: number) => examples.columns.reduce((sum, column) => sum + column[row]!.length, 0);
  const order = shuffledOrder(examples, seed, epoch).sort((a, b) => lengths(a) - lengths(b));
  return new Random(seed, 2 * epoch + 1).shuffle(inBatchesOf(order, batchSize));
};

function shuffledOrder(examples: ExampleTable, seed: number, epoch: number): Int32Array {
  const order = Int32Array.from(examples.columns[0] ?? [], (_, row) => row);
  return new Random(seed, 2 * epoch).shuffle(order);
}

function inBatchesOf(order: Int32Array, batchSize: number): Int32Array[] {
  return Array.from({ length: Math.ceil(order.length / batchSize) }, (_, batch) =>
    order.slice(batch * batchSize, (batch + 1) * batchSize),
  );
}
