// Batches of texts of alike length: which texts go together, how they are padded, and which of their tokens pooling
// sees.
import type { Pooling, TokenBatch, TokenizedText, Tokenizer, TokenizeOptions } from '../types.ts';

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
 * whatever its size, so a little more padding than that is cheaper than one more batch.
 */
const paddingAllowance = 64;

/**
 * Cuts texts into batches of alike length: sorted by token count, longest first, at most `batchTokens` positions (rows
 * × longest) each, with little padding. A text longer than `batchTokens` has a batch of its own. The cut depends on the
 * lengths and the budget alone, so any process batches the same texts alike.
 * @param lengths token count of each text
 * @param allowance positions of padding that a batch may have
 * @returns for each batch the indices of its texts in `lengths`, longest first
 */
export function planBatches(
  lengths: readonly number[],
  batchTokens: number,
  allowance: number = paddingAllowance,
): number[][] {
  const order = lengths.map((_, index) => index).sort((a, b) => lengths[b]! - lengths[a]! || a - b);
  const batches: number[][] = [];
  let batch: number[] = [];
  let longest = 0;
  let padding = 0;
  for (const index of order) {
    const length = lengths[index]!;
    const fits = (batch.length + 1) * longest <= batchTokens && padding + longest - length <= allowance;
    if (batch.length === 0 || !fits) {
      batch = [];
      batches.push(batch);
      longest = length;
      padding = 0;
    }
    batch.push(index);
    padding += longest - length;
  }
  return batches;
}

/**
 * The length to which a text is padded when its vector must not depend, to the last bit, on its batch-mates: with more
 * columns a sum is added up in another order. Texts of up to 63 tokens keep their length, longer ones get the next of
 * 32 steps for each doubling: see docs/adr/0016-batches.md.
 * @param most positions of the model
 */
export function paddedLength(length: number, most: number): number {
  const step = 2 ** Math.max(0, Math.floor(Math.log2(length)) - 5);
  return Math.max(length, Math.min(Math.ceil(length / step) * step, most));
}

/**
 * Token ids of the texts, padded on the right. Without texts: no rows and no columns.
 * @param cols the length to which they are padded; default that of the longest
 */
export function padBatch(
  texts: readonly TokenizedText[],
  paddingId: number,
  cols: number = texts.reduce((longest, { ids }) => Math.max(longest, ids.length), 0),
): TokenBatch {
  const rows = texts.length;
  const ids = new Int32Array(rows * cols).fill(paddingId);
  const mask = new Int32Array(rows * cols);
  const typeIds = texts.some((text) => text.typeIds !== undefined) ? new Int32Array(rows * cols) : undefined;
  for (const [row, text] of texts.entries()) {
    ids.set(text.ids, row * cols);
    mask.fill(1, row * cols, row * cols + (text.attended ?? text.ids.length));
    if (text.typeIds !== undefined) typeIds!.set(text.typeIds, row * cols);
  }
  return { ids, mask, ...(typeIds && { typeIds }), rows, cols };
}

/** How many tokens of a text take part in pooling, where no prompt is left out. */
export function countPooled({ ids, pooled }: TokenizedText): number {
  return pooled === undefined ? ids.length : pooled.reduce((count, bit) => count + bit, 0);
}

/** How many vectors a text has: one, or one for each of its tokens where the head does not pool. */
export function countVectors(text: TokenizedText, { perToken = false }: Pooling): number {
  return perToken ? countPooled(text) : 1;
}

/** The mask of a batch of such texts as pooling sees it; `undefined` when all of their tokens take part. */
export function pooledTokens(texts: readonly TokenizedText[], { mask, cols }: TokenBatch): Int32Array | undefined {
  if (texts.every(({ pooled }) => pooled === undefined)) return undefined;
  const pooled = mask.slice();
  for (const [row, text] of texts.entries()) if (text.pooled !== undefined) pooled.set(text.pooled, row * cols);
  return pooled;
}

/**
 * The mask of a batch as pooling sees it: without the leading tokens that it leaves out.
 * @param unpooledTokens as {@link countUnpooledTokens} gives them: one number for all rows, or one for each
 */
export function maskForPooling(
  { mask, rows, cols }: TokenBatch,
  unpooledTokens: number | readonly number[],
): Int32Array {
  const pooled = mask.slice();
  for (let row = 0; row < rows; row += 1) {
    const left = typeof unpooledTokens === 'number' ? unpooledTokens : unpooledTokens[row]!;
    pooled.fill(0, row * cols, row * cols + Math.min(left, cols));
  }
  return pooled;
}

/**
 * Leading tokens of a text with this prompt that pooling leaves out: with `include_prompt: false` the opening special
 * tokens and those of the prompt; otherwise none. An empty prompt counts as none. Counted as sentence-transformers does
 * (`_get_prompt_length`): the ids of the prompt alone, without the last one where the model closes a text with special
 * tokens.
 */
export async function countUnpooledTokens(
  prompt: string | undefined,
  pooling: Pooling,
  tokenizer: Tokenizer,
  options: TokenizeOptions,
): Promise<number> {
  if (prompt === undefined || prompt === '' || (pooling.includePrompt ?? true)) return 0;
  const [alone] = await tokenizer.encode([prompt], options);
  const closed = (options.addSpecialTokens ?? true) && tokenizer.specialTokens.suffix.length > 0;
  return alone!.ids.length - (closed ? 1 : 0);
}
