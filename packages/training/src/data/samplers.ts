// How the examples of an epoch are put into batches.
import { absentDocument } from '../losses/listwise.ts';
import { Random } from '../random.ts';

/** What a sampler may look at: texts by column, and labels where there are some. Row i of each belongs to example i. */
export interface ExampleTable {
  readonly columns: readonly (readonly string[])[];
  /**
   * `labelWidth` numbers for each example. For losses over classes: the name of its class, a text or a number. Names
   * are compared as they are.
   */
  readonly labels?: ArrayLike<number | string> | undefined;
  /** @default 1 */
  readonly labelWidth?: number | undefined;
  /** What no two examples of a batch may share under `noDuplicates`, besides texts, such as the classes of texts. */
  readonly distinct?: readonly (readonly string[])[] | undefined;
}

/** What a sampler is asked for. */
export interface SamplingRequest {
  readonly batchSize: number;
  readonly seed: number;
  /** Counted from 0. The same epoch of the same seed gives the same batches, which makes resuming exact. */
  readonly epoch: number;
}

/**
 * Puts the examples of an epoch into batches of example numbers. All but the last batches have `batchSize` examples.
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
 * false negative. An example goes into the first batch with room after the last one that has a text of it, in a time
 * that does not depend on how often texts repeat. When a text repeats often, the last batches are small.
 * Documents that a list does not have are no texts.
 */
export const noDuplicates: Sampler = (examples, { batchSize, seed, epoch }) => {
  const batches: number[][] = [];
  /** The number of the first batch that has none of the text (or of what else is distinct), nor has any after it. */
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

/** The first batch with room at or after another. Batches that are full are skipped together (path compression). */
class FirstWithRoom {
  /** For a batch that is full, one after it. */
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
 * Pairs of examples of one class, in random order: every text of a batch has another of its class in it, as batch-hard
 * and batch-all triplets need. Of a class with an odd number of examples, one is left out of the epoch.
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

/** Every example once, in batches of similar length, the batches in random order: least padding and least attention. */
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
