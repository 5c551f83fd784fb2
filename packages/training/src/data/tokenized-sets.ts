// Texts as token ids, each distinct text tokenized once, and the batches that are made of them.
import {
  countUnpooledTokens,
  SentvecError,
  throwIfAborted,
  type PairTokenizer,
  type Pooling,
  type TextPair,
  type TextRole,
  type TokenizedText,
  type Tokenizer,
} from '@sentvec/core';
import { absentDocument } from '../losses/listwise.ts';
import { makeBatch, type TrainingBatch } from './batch.ts';
import { columnsOfBatch } from '../loss.ts';
import { Random } from '../random.ts';
import type { PlannedBatch } from './plan.ts';
import type { ExampleTable } from './samplers.ts';
import type { TrainingSet } from './training-set.ts';

/** How texts become the token ids that a model is trained on. */
export interface TextReader {
  readonly tokenizer: Tokenizer;
  /** The most tokens of a text. */
  readonly maxLength: number;
  readonly addSpecialTokens: boolean;
  readonly pooling: Pooling;
  /** Of a reranker: what makes one input of two texts, and the prompt of the model, unless another is asked for. */
  readonly pairs?: { readonly tokenize: PairTokenizer; readonly prompt: string } | undefined;
  /** Of late interaction: how queries, the first texts of examples, and documents are read. */
  readonly roles?: Readonly<Record<TextRole, RoleReader>> | undefined;
  /** Of a model with a Router: how the texts of each route are read. */
  readonly router?: RouteReaders | undefined;
}

/** How the texts of a model with a Router are read. */
export interface RouteReaders {
  /** By the name of a route. */
  readonly readers: Readonly<Record<string, TextReader>>;
  /**
   * The route of a task, such as `query` and `document`, by name; of `undefined` the default route.
   * @throws SentvecError `invalid-argument` when there is none
   */
  routeOf(task: string | undefined): string;
}

/** How the texts of a role are read. */
export interface RoleReader {
  readonly tokenizer: Tokenizer;
  readonly maxLength: number;
  /** Put before each text, unless another prompt is asked for. */
  readonly prompt: string;
}

/** Tokenized texts of a column. */
export interface TokenizedColumn {
  readonly texts: readonly TokenizedText[];
  /** Leading tokens that take no part in pooling. */
  readonly unpooledTokens: number;
  /** Of a model with a Router: the route that the texts take. */
  readonly route: string | undefined;
}

/** What {@link tokenizeColumn} is told of a column. */
export interface ColumnOptions {
  /** Put before each text. @default that of the role, if it has one */
  readonly prompt?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** What the texts are to a model that reads queries and documents differently. @default 'document' */
  readonly role?: TextRole | undefined;
  /** For a model with a Router: the task, or the route, of the texts. @default its default route */
  readonly task?: string | undefined;
}

/** Texts as token ids, each after the prompt. Each different text is tokenized once. */
export async function tokenizeColumn(
  whole: TextReader,
  texts: readonly string[],
  { prompt: given, signal, role = 'document', task }: ColumnOptions = {},
): Promise<TokenizedColumn> {
  const route = whole.router?.routeOf(task);
  const reader = route === undefined ? whole : whole.router!.readers[route]!;
  const { pooling, addSpecialTokens } = reader;
  const ofRole = reader.roles?.[role];
  const { tokenizer, maxLength } = ofRole ?? reader;
  const prompt = given ?? ofRole?.prompt ?? '';
  const options = { maxLength, addSpecialTokens, signal };
  const different = [...new Set(texts)];
  const tokenized = await tokenizer.encode(
    different.map((text) => prompt + text),
    options,
  );
  const byText = new Map(different.map((text, index) => [text, tokenized[index]!]));
  return {
    texts: texts.map((text) => byText.get(text)!),
    unpooledTokens: await countUnpooledTokens(prompt, pooling, tokenizer, options),
    route,
  };
}

/** Pairs of texts as token ids. @throws SentvecError `invalid-text` for what is no text; `aborted` */
export async function tokenizePairs(
  { pairs: reading, maxLength }: TextReader,
  pairs: readonly TextPair[],
  prompt: string | undefined,
  signal: AbortSignal = new AbortController().signal,
): Promise<TokenizedText[]> {
  throwIfAborted(signal);
  if (reading === undefined)
    throw new SentvecError(
      'invalid-argument',
      'This model reads one text at a time: it has vectors, not scores of pairs.',
    );
  return reading.tokenize(pairs, { maxLength, prompt: prompt ?? reading.prompt, signal });
}

/**
 * The texts of all sets as token ids. There are more pairs than texts, so pairs are tokenized batch by batch.
 */
export class TokenizedSets {
  readonly #sets: readonly TrainingSet[];
  readonly #reader: TextReader;
  readonly #signal: AbortSignal | undefined;
  /** By set. */
  readonly #columns: readonly (readonly TokenizedColumn[])[];

  private constructor(
    sets: readonly TrainingSet[],
    reader: TextReader,
    columns: readonly (readonly TokenizedColumn[])[],
    signal: AbortSignal | undefined,
  ) {
    this.#sets = sets;
    this.#reader = reader;
    this.#columns = columns;
    this.#signal = signal;
  }

  /** @throws SentvecError `invalid-corpus` for a text that the tokenizer gives no token for, with its row; `aborted` */
  static async read(
    sets: readonly TrainingSet[],
    reader: TextReader,
    signal: AbortSignal | undefined,
  ): Promise<TokenizedSets> {
    const all: TokenizedColumn[][] = [];
    for (const { name, examples, prompts, loss, routes } of sets) {
      const columns: TokenizedColumn[] = [];
      for (const [index, texts] of loss.over === 'scores' ? [] : examples.columns.entries()) {
        const role = index === 0 ? 'query' : 'document';
        const column = await tokenizeColumn(reader, texts, {
          prompt: prompts?.[index],
          signal,
          role,
          task: routes?.[index],
        });
        const row = column.texts.findIndex(({ ids }) => ids.length === 0);
        if (row >= 0)
          throw new SentvecError(
            'invalid-corpus',
            `${name}: row ${row} has a text without any token in column ${index + 1}. Leave out empty texts.`,
            { file: name, row },
          );
        columns.push(column);
      }
      all.push(columns);
    }
    return new TokenizedSets(sets, reader, all, signal);
  }

  /** @param seed of the documents of other examples that queries are paired with */
  async batch({ set, rows }: PlannedBatch, seed: number): Promise<TrainingBatch> {
    const { loss, examples } = this.#sets[set]!;
    const columns =
      loss.over === 'scores'
        ? await this.#pairColumns(set, rows, seed)
        : this.#columns[set]!.map(({ texts, unpooledTokens, route }) => ({
            unpooledTokens,
            route,
            texts: Array.from(rows, (row) => texts[row]!),
          }));
    return makeBatch(
      columns,
      loss.labels === 'none' ? undefined : labelsOfRows(examples, rows, loss.labels === 'class'),
    );
  }

  /** The first text of each example with its others, then with some of other examples of the batch. */
  async #pairColumns(set: number, rows: Int32Array, seed: number): Promise<{ readonly texts: TokenizedText[] }[]> {
    const { loss, examples, prompts } = this.#sets[set]!;
    const [queries, ...documents] = examples.columns as [readonly string[], ...(readonly string[])[]];
    const own = documents.map((column) => Array.from(rows, (row) => column[row]!));
    const count = columnsOfBatch(loss, examples.columns.length);
    const others = documentsOfOthers(own, count - own.length, new Random(seed, 5));
    const texts = [...own, ...others];
    const pairs = texts.flatMap((column) => column.map((text, index) => [queries[rows[index]!]!, text] as const));
    const tokenized = await tokenizePairs(this.#reader, pairs, prompts?.[0], this.#signal);
    const isAbsent = (column: number, row: number): boolean =>
      loss.labels === 'lists' && examples.labels![row * own.length + column] === absentDocument;
    return texts.map((column, index) => ({
      texts: column.map((_, position) =>
        isAbsent(index, rows[position]!) ? noTokens : tokenized[index * rows.length + position]!,
      ),
    }));
  }
}

const noTokens: TokenizedText = { ids: new Int32Array(0), length: 0, truncated: false };

/** For each example some documents of the others, drawn at random and each at most once: a column for each. */
function documentsOfOthers(own: readonly (readonly string[])[], count: number, random: Random): string[][] {
  const columns = Array.from({ length: count }, (): string[] => []);
  if (count === 0) return columns;
  const examples = own[0]!.length;
  for (let example = 0; example < examples; example++) {
    const candidates = own.flatMap((column) => column.filter((_, index) => index !== example));
    for (const [index, text] of random.shuffle(candidates).slice(0, count).entries()) columns[index]!.push(text);
  }
  return columns;
}

/**
 * Labels as a loss takes them. Classes are numbered within the batch, so that float32 holds any name of one exactly.
 */
function labelsOfRows({ labels, labelWidth = 1 }: ExampleTable, rows: Int32Array, areClasses: boolean): Float32Array {
  const chosen = new Float32Array(rows.length * labelWidth);
  const numbers = new Map<string | number, number>();
  for (const [index, row] of rows.entries()) {
    for (let i = 0; i < labelWidth; i++) {
      const label = labels![row * labelWidth + i]!;
      if (areClasses && !numbers.has(label)) numbers.set(label, numbers.size);
      chosen[index * labelWidth + i] = areClasses ? numbers.get(label)! : Number(label);
    }
  }
  return chosen;
}
