/** The texts of the self-check: one whose values are known, and longer ones around it. */
import { SentvecError } from '../errors.ts';
import type { Tokenizer, TokenBatch } from '../types.ts';

/** What the self-check says when the model has no values of its own. Cut to 4 tokens, it is still a text to any model. */
const text = 'A canary sings in the mine, and whoever hears it goes on working.';

/**
 * Ids of the known text: 4 cost little to compute by a slow reference, 2 where the weights are large; 10 show more where
 * the values are stored.
 */
export const shortestText = 2;
export const shortText = 4;
export const longText = 10;

/**
 * Ids of the known text of a model's self-check, special tokens included.
 * @param options.length the most ids. Default 10
 * @returns none for a tokenizer that knows none of the text
 */
export async function selfCheckIds(
  tokenizer: Tokenizer,
  {
    addSpecialTokens = true,
    maxPositions,
    length = longText,
  }: {
    readonly addSpecialTokens?: boolean | undefined;
    readonly maxPositions: number;
    readonly length?: number | undefined;
  },
): Promise<readonly number[]> {
  const maxLength = Math.min(length, maxPositions);
  const around = addSpecialTokens ? tokenizer.specialTokens.prefix.length + tokenizer.specialTokens.suffix.length : 0;
  if (maxLength <= around) return [];
  try {
    const [tokenized] = await tokenizer.encode([text], { maxLength, addSpecialTokens });
    return [...tokenized!.ids];
  } catch (error) {
    if (SentvecError.is(error, 'invalid-text')) return [];
    throw error;
  }
}

/**
 * The known text alone.
 * @param typed whether its tokens have types: 0 in its first half, 1 in its second
 */
export function selfCheckText(ids: readonly number[], typed = false): TokenBatch {
  const { length } = ids;
  return {
    ids: Int32Array.from(ids),
    mask: new Int32Array(length).fill(1),
    ...(typed && { typeIds: Int32Array.from(ids, (_, column) => typeAt(column, length)) }),
    rows: 1,
    cols: length,
  };
}

function typeAt(column: number, length: number): number {
  return column < length && column >= length / 2 ? 1 : 0;
}

/** Columns of the batch: more than the 8 numbers that a CPU works on at once, and than the long text has. */
const width = 12;

/** A batch of known and longer texts, and what each row is. */
export interface SelfCheckBatch {
  readonly batch: TokenBatch;
  /** Rows of the known text. */
  readonly known: readonly number[];
  /** The other rows, each with its text alone. */
  readonly others: readonly { readonly row: number; readonly alone: TokenBatch }[];
}

/**
 * The known text in the first row and in the last, with much padding; between them a text without padding and one with
 * one padded position. A row that is mixed up, padding that is read, a wrong number in any row shows.
 */
export function selfCheckBatch(
  ids: readonly number[],
  paddingId: number,
  maxPositions: number,
  typed = false,
): SelfCheckBatch {
  const cols = Math.max(ids.length, Math.min(width, maxPositions));
  const longer = (length: number): number[] => Array.from({ length }, (_, index) => ids[index % ids.length]!);
  const texts = [ids, longer(cols), longer(Math.max(1, cols - 1)), ids];
  const padded = texts.map((row) => Array.from({ length: cols }, (_, column) => row[column] ?? paddingId));
  const mask = texts.map((row) => Array.from({ length: cols }, (_, column) => (column < row.length ? 1 : 0)));
  const types = texts.map((row) => Array.from({ length: cols }, (_, column) => typeAt(column, row.length)));
  return {
    batch: {
      ids: Int32Array.from(padded.flat()),
      mask: Int32Array.from(mask.flat()),
      ...(typed && { typeIds: Int32Array.from(types.flat()) }),
      rows: texts.length,
      cols,
    },
    known: [0, 3],
    others: [1, 2].map((row) => ({ row, alone: selfCheckText(texts[row]!, typed) })),
  };
}
