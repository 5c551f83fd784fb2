/** The texts of the self-check: a known text, for which there are expected values, and longer texts. */
import { SentvecError } from '../errors.ts';
import type { Tokenizer, TokenBatch } from '../types.ts';

/** The known text, for a model without a stored self-check. It is truncated to a few tokens. */
const text = 'A canary sings in the mine, and whoever hears it goes on working.';

/**
 * Lengths of the known text in token ids. The slow reference computes 10 for small weights, 4 for medium and 2 for
 * large ones; see `referenceLength`. Stored self-checks have 10.
 */
export const shortestText = 2;
export const shortText = 4;
export const longText = 10;

/**
 * Token ids of the known text, special tokens included.
 * @param options.length maximum number of ids; default: 10
 * @returns an empty list if the tokenizer gives no token for the text
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
  const specialTokenCount = addSpecialTokens
    ? tokenizer.specialTokens.prefix.length + tokenizer.specialTokens.suffix.length
    : 0;
  if (maxLength <= specialTokenCount) return [];
  try {
    const [tokenized] = await tokenizer.encode([text], { maxLength, addSpecialTokens });
    return [...tokenized!.ids];
  } catch (error) {
    if (SentvecError.is(error, 'invalid-text')) return [];
    throw error;
  }
}

/**
 * A batch with only the known text.
 * @param usesTypeIds whether tokens have type ids: 0 in the first half of the text, 1 in the second
 */
export function selfCheckText(ids: readonly number[], usesTypeIds = false): TokenBatch {
  const { length } = ids;
  return {
    ids: Int32Array.from(ids),
    mask: new Int32Array(length).fill(1),
    ...(usesTypeIds && { typeIds: Int32Array.from(ids, (_, column) => typeAt(column, length)) }),
    rows: 1,
    cols: length,
  };
}

function typeAt(column: number, length: number): number {
  return column < length && column >= length / 2 ? 1 : 0;
}

/** Columns of the batch: more than the 8 numbers of a SIMD register, and more than the long text has tokens. */
const width = 12;

/** A batch with known and longer texts, and the text of each row. */
export interface SelfCheckBatch {
  readonly batch: TokenBatch;
  /** Rows of the known text. */
  readonly known: readonly number[];
  /** The other rows, each with a batch that contains only its text. */
  readonly others: readonly { readonly row: number; readonly alone: TokenBatch }[];
}

/**
 * A batch with the known text in its first and last rows, with much padding; between them one text without padding and
 * one with a single padding token. It detects rows that are mixed up, padding that affects results, and wrong numbers
 * in any row.
 */
export function selfCheckBatch(
  ids: readonly number[],
  paddingId: number,
  maxPositions: number,
  usesTypeIds = false,
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
      ...(usesTypeIds && { typeIds: Int32Array.from(types.flat()) }),
      rows: texts.length,
      cols,
    },
    known: [0, 3],
    others: [1, 2].map((row) => ({ row, alone: selfCheckText(texts[row]!, usesTypeIds) })),
  };
}
