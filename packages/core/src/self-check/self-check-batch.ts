import type { Tokenizer, TokenBatch } from '../types.ts';

/**
 * What the self-check says when the model has none of its own. Cut to `shortest` tokens, it is still a text to any model.
 */
const text = 'A canary sings.';
const shortest = 4;

/** Ids of the short text of a model's selfCheck, special tokens included. Empty for a tokenizer that knows none of it. */
export async function selfCheckIds(
  tokenizer: Tokenizer,
  {
    addSpecialTokens = true,
    maxPositions,
  }: { readonly addSpecialTokens?: boolean | undefined; readonly maxPositions: number },
): Promise<readonly number[]> {
  const maxLength = Math.min(shortest, maxPositions);
  const around = addSpecialTokens ? tokenizer.specialTokens.prefix.length + tokenizer.specialTokens.suffix.length : 0;
  if (maxLength <= around) return [];
  const [tokenized] = await tokenizer.encode([text], { maxLength, addSpecialTokens });
  return [...tokenized!.ids];
}

/** The row of the batch that holds the text. */
export const selfCheckRow = 1;

/**
 * A longer text, then the text, padded: mixing up rows, reading padding as text, or a wrong number of any kind shows,
 * while only the one short text needs a reference.
 */
export function selfCheckBatch(ids: readonly number[], paddingId: number, maxPositions: number): TokenBatch {
  const cols = Math.min(ids.length + 1, maxPositions);
  const longer = [...ids, ids[0]!].slice(0, cols);
  const padded = [...ids, paddingId].slice(0, cols);
  const mask = Array.from({ length: 2 * cols }, (_, place) => (place < cols + ids.length ? 1 : 0));
  return { ids: Int32Array.from([...longer, ...padded]), mask: Int32Array.from(mask), rows: 2, cols };
}

/** The text alone. */
export function selfCheckText(ids: readonly number[]): TokenBatch {
  return { ids: Int32Array.from(ids), mask: new Int32Array(ids.length).fill(1), rows: 1, cols: ids.length };
}
