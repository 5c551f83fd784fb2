/**
 * Texts that are tokenized and sorted together. Larger windows pad less and answer later; see docs/adr/0016-batches.md.
 */
export const windowTexts: number = 2048;

/**
 * A window ends before `windowTexts` when its texts have this many characters together, so that long texts do not fill
 * the memory.
 */
export const windowCharacters: number = 2 ** 22;

/**
 * Padded positions that a batch may have before it is closed. A batch costs about as much as 32 positions to call,
 * whatever its size, so that a little more padding than that is cheaper than one more batch.
 */
const paddingAllowance = 64;

/**
 * Cuts texts into batches of alike length: sorted by token count, longest first, at most `batchTokens` positions (rows
 * × longest) each, with little padding. A text longer than `batchTokens` has a batch of its own. The cut depends on the
 * lengths and the budget alone, so the same texts are batched alike by whoever embeds them.
 * @param lengths token count of each text
 * @returns for each batch the places of its texts in `lengths`, longest first
 */
export function planBatches(lengths: readonly number[], batchTokens: number): number[][] {
  const order = lengths.map((_, place) => place).sort((a, b) => lengths[b]! - lengths[a]! || a - b);
  const batches: number[][] = [];
  let batch: number[] = [];
  let longest = 0;
  let padding = 0;
  for (const place of order) {
    const length = lengths[place]!;
    const fits = (batch.length + 1) * longest <= batchTokens && padding + longest - length <= paddingAllowance;
    if (batch.length === 0 || !fits) {
      batch = [];
      batches.push(batch);
      longest = length;
      padding = 0;
    }
    batch.push(place);
    padding += longest - length;
  }
  return batches;
}
