import type { EmbeddedWindow } from './pipeline.ts';
import type { Receipt } from './embedder-types.ts';

/** Adds up the numbers of a receipt over the windows of one call. */
export class ReceiptCounter {
  readonly #started = performance.now();
  readonly #truncated: { row: number; length: number }[] = [];
  #rows = 0;
  #tokens = 0;
  #positions = 0;

  add({ firstRow, tokenized, positions }: EmbeddedWindow): void {
    this.#rows += tokenized.length;
    this.#positions += positions;
    for (const [index, text] of tokenized.entries()) {
      this.#tokens += text.ids.length;
      if (text.truncated) this.#truncated.push({ row: firstRow + index, length: text.length });
    }
  }

  receipt(notes: readonly string[]): Omit<Receipt, 'fingerprint'> {
    return {
      rows: this.#rows,
      tokens: this.#tokens,
      truncated: this.#truncated,
      paddingWaste: this.#positions === 0 ? 0 : 1 - this.#tokens / this.#positions,
      milliseconds: performance.now() - this.#started,
      notes,
    };
  }
}
