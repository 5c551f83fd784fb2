// Tokenizes the texts of training sets, each distinct text once, and makes training batches of them.
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

/** How texts become the token ids of a model. */
export interface TextReader {
  readonly tokenizer: Tokenizer;
  /** Longer texts are truncated to this many tokens. */
  readonly maxLength: number;
  readonly addSpecialTokens: boolean;
  readonly pooling: Pooling;
  /**
   * For a reranker: tokenizes a pair of texts into one input. `prompt` is the model's, used unless the caller gives
   * one.
   */
  readonly pairs?: { readonly tokenize: PairTokenizer; readonly prompt: string } | undefined;
  /** For late interaction: how queries (the first column) and documents (the other columns) are tokenized. */
  readonly roles?: Readonly<Record<TextRole, RoleReader>> | undefined;
  /** For a model with a Router: how the texts of each route are tokenized. */
  readonly router?: RouteReaders | undefined;
}

/** How the texts of a model with a Router are tokenized. */
export interface RouteReaders {
  /** One reader per route, by its name. */
  readonly readers: Readonly<Record<string, TextReader>>;
  /**
   * Finds the route of a task such as `query` or `document`. Without a task: the default route.
   * @throws SentvecError `invalid-argument` when the task has no route, or there is no default route
   */
  routeOf(task: string | undefined): string;
}

/** How the texts of a role are tokenized. */
export interface RoleReader {
  readonly tokenizer: Tokenizer;
  readonly maxLength: number;
  /** Put before each text, unless the caller gives another prompt. */
  readonly prompt: string;
}

/** The tokenized texts of a column. */
export interface TokenizedColumn {
  readonly texts: readonly TokenizedText[];
  /** Leading tokens that take no part in pooling. */
  readonly unpooledTokens: number;
  /** The route of the texts, for a model with a Router. */
  readonly route: string | undefined;
}

/** Options of {@link tokenizeColumn}. */
export interface ColumnOptions {
  /** Put before each text. @default the prompt of the role, if it has one */
  readonly prompt?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** The role of the texts, for a model that treats queries and documents distinctly. @default 'document' */
  readonly role?: TextRole | undefined;
  /** The task or the route of the texts, for a model with a Router. @default its default route */
  readonly task?: string | undefined;
}

/** Tokenizes texts, each with the prompt before it. Each distinct text is tokenized once. */
export async function tokenizeColumn(
  model: TextReader,
  texts: readonly string[],
  { prompt: given, signal, role = 'document', task }: ColumnOptions = {},
): Promise<TokenizedColumn> {
  const route = model.router?.routeOf(task);
  const reader = route === undefined ? model : model.router!.readers[route]!;
  const { pooling, addSpecialTokens } = reader;
  const ofRole = reader.roles?.[role];
  const { tokenizer, maxLength } = ofRole ?? reader;
  const prompt = given ?? ofRole?.prompt ?? '';
  const options = { maxLength, addSpecialTokens, signal };
  const distinct = [...new Set(texts)];
  const tokenized = await tokenizer.encode(
    distinct.map((text) => prompt + text),
    options,
  );
  const byText = new Map(distinct.map((text, index) => [text, tokenized[index]!]));
  return {
    texts: texts.map((text) => byText.get(text)!),
    unpooledTokens: await countUnpooledTokens(prompt, pooling, tokenizer, options),
    route,
  };
}

/**
 * Tokenizes pairs of texts for a reranker.
 * @throws SentvecError `invalid-text` for a value that is not a string; `aborted`
 */
export async function tokenizePairs(
  { pairs: pairReader, maxLength }: TextReader,
  pairs: readonly TextPair[],
  prompt: string | undefined,
  signal: AbortSignal = new AbortController().signal,
): Promise<TokenizedText[]> {
  throwIfAborted(signal);
  if (pairReader === undefined)
    throw new SentvecError(
      'invalid-argument',
      'This model embeds single texts and cannot score pairs. Use a reranker (CrossEncoder).',
    );
  return pairReader.tokenize(pairs, { maxLength, prompt: prompt ?? pairReader.prompt, signal });
}

/**
 * The tokenized texts of all sets. Single texts are tokenized once, at the start. The pairs of a reranker are tokenized
 * batch by batch, because there are more pairs than texts.
 */
export class TokenizedSets {
  readonly #sets: readonly TrainingSet[];
  readonly #reader: TextReader;
  readonly #signal: AbortSignal | undefined;
  /** The columns of each set. */
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
            `${name}: the text in row ${row}, column ${index + 1} has no tokens. Remove rows with empty texts.`,
            { file: name, row },
          );
        columns.push(column);
      }
      all.push(columns);
    }
    return new TokenizedSets(sets, reader, all, signal);
  }

  /** @param seed chooses which documents of other examples a reranker's queries are paired with */
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

  /**
   * Pairs the query of each example with its own documents, then with some documents of other examples of the batch.
   */
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

/** For each example, draws `count` documents of other examples without replacement. One column per drawn document. */
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
 * The labels of a batch as float32. Classes are numbered within the batch, because float32 cannot hold every class
 * name.
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
