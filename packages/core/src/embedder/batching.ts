// Puts texts of similar length into batches, pads them, and makes the masks with which they are pooled.
import type { Pooling, TokenBatch, TokenizedText, Tokenizer, TokenizeOptions } from '../types.ts';

/**
 * Number of texts that are tokenized and sorted together. A larger window needs less padding but takes longer until its
 * first vector; see docs/adr/0016-batches.md.
 */
export const windowTexts: number = 2048;

/**
 * Total characters (UTF-16 code units) after which a window ends even if it has fewer than `windowTexts` texts. Bounds
 * the memory that long texts need.
 */
export const windowCharacters: number = 2 ** 22;

/**
 * Positions of padding that a batch may have before a new one is started. A call has a fixed cost of about 32
 * positions, so a little more padding than that is cheaper than one more batch.
 */
const paddingAllowance = 64;

/**
 * Groups texts into batches of similar length: sorted by token count, longest first, at most `batchTokens` positions
 * (rows × longest) each, with little padding. A text longer than `batchTokens` has a batch of its own. The batches
 * depend on the lengths and the limits alone, so every process makes the same batches of the same texts.
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
 * The length to which a text is padded when its vector must be the same bit for bit in every batch. The padded length
 * must then depend on the text alone, since it determines the order in which sums are added up. Texts of up to 63
 * tokens keep their length; longer ones are rounded up to one of 32 lengths between two powers of two: see
 * docs/adr/0016-batches.md.
 * @param maxPositions positions of the model: the largest result, unless the text itself is longer
 */
export function paddedLength(length: number, maxPositions: number): number {
  const step = 2 ** Math.max(0, Math.floor(Math.log2(length)) - 5);
  return Math.max(length, Math.min(Math.ceil(length / step) * step, maxPositions));
}

/**
 * Token ids of the texts, padded on the right. Without texts: no rows and no columns.
 * @param cols length to which the texts are padded; default: that of the longest
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

/** Number of tokens of a text that are pooled when no prompt is left out. */
export function countPooled({ ids, pooled }: TokenizedText): number {
  return pooled === undefined ? ids.length : pooled.reduce((count, bit) => count + bit, 0);
}

/** Number of vectors of a text: one or, if the head does not pool, one for each of its tokens. */
export function countVectors(text: TokenizedText, { perToken = false }: Pooling): number {
  return perToken ? countPooled(text) : 1;
}

/**
 * The pooling mask that the texts of a batch bring with them (`TokenizedText.pooled`); `undefined` when no text has
 * one.
 */
export function pooledTokens(texts: readonly TokenizedText[], { mask, cols }: TokenBatch): Int32Array | undefined {
  if (texts.every(({ pooled }) => pooled === undefined)) return undefined;
  const pooled = mask.slice();
  for (const [row, text] of texts.entries()) if (text.pooled !== undefined) pooled.set(text.pooled, row * cols);
  return pooled;
}

/**
 * The pooling mask of a batch: its attention mask without the leading tokens that pooling leaves out.
 * @param unpooledTokens see {@link countUnpooledTokens}: one number for all rows, or one for each row
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
 * Number of leading tokens of a text with this prompt that pooling leaves out: with `include_prompt: false`, the
 * special tokens at the beginning and the tokens of the prompt; otherwise 0. An empty prompt counts as none. As in
 * sentence-transformers (`_get_prompt_length`), these are the ids of the prompt tokenized alone, minus one if the model
 * adds special tokens at the end.
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
