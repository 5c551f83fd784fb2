import type { Tokenizer, TokenBatch } from '../types.ts';

/** What the canary says when the model has none of its own. Cut to `shortest` tokens, it is still a text to any model. */
const text = 'A canary sings.';
const shortest = 4;

/** Ids of the short text of a model's canary, special tokens included. Empty for a tokenizer that knows none of it. */
export async function canaryIds(
  tokenizer: Tokenizer,
  { addSpecialTokens = true, maxPositions }: { readonly addSpecialTokens?: boolean | undefined; readonly maxPositions: number },
): Promise<readonly number[]> {
  const maxLength = Math.min(shortest, maxPositions);
  const around = addSpecialTokens ? tokenizer.specialTokens.prefix.length + tokenizer.specialTokens.suffix.length : 0;
  if (maxLength <= around) return [];
  const [tokenized] = await tokenizer.encode([text], { maxLength, addSpecialTokens });
  return [...tokenized!.ids];
}

/** Rows of the batch that hold the text; the one between is longer, so that both are padded. */
export const canaryRows: readonly number[] = [0, 2];

/**
 * The text twice, padded, with one of twice its length between: mixing up rows, reading padding as text, or a wrong number of any
 * kind shows, while only the one short text needs a reference.
 */
export function canaryBatch(ids: readonly number[], paddingId: number, maxPositions: number): TokenBatch {
  const cols = Math.min(2 * ids.length, maxPositions);
  const padding = Array.from({ length: cols - ids.length }, () => paddingId);
  const rows = [[...ids, ...padding], [...ids, ...ids].slice(0, cols), [...ids, ...padding]];
  const mask = rows.flatMap((row, index) => row.map((_, place) => (place < ids.length || !canaryRows.includes(index) ? 1 : 0)));
  return { ids: Int32Array.from(rows.flat()), mask: Int32Array.from(mask), rows: rows.length, cols };
}

/** The text alone. */
export function canaryText(ids: readonly number[]): TokenBatch {
  return { ids: Int32Array.from(ids), mask: new Int32Array(ids.length).fill(1), rows: 1, cols: ids.length };
}
