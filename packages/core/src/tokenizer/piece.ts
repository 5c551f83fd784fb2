/** A part of a text during normalization and splitting. */
export interface Piece {
  text: string;
  /**
   * How many of its first UTF-16 code units come from the first character of the whole text, because Metaspace depends
   * on whether a piece begins where the text began. (The Rust tokenizers track this with the alignments of
   * `NormalizedString`, of which nothing else is needed.)
   */
  lead: number;
}

/** The part of a piece from one position to another. */
export function slice({ text, lead }: Piece, start: number, end: number): Piece {
  return { text: text.slice(start, end), lead: lead === 0 ? 0 : Math.max(0, Math.min(lead, end) - start) };
}

/** The pieces for substrings of a piece, which must be given from left to right. */
export function slices(piece: Piece, texts: readonly string[]): Piece[] {
  if (piece.lead === 0) return texts.map((text) => ({ text, lead: 0 }));
  let end = 0;
  return texts.map((text) => {
    const start = piece.text.indexOf(text, end);
    end = start + text.length;
    return slice(piece, start, end);
  });
}

/** Prepends a text to a piece. The text counts as part of the piece's first character. */
export function prepend(piece: Piece, text: string): void {
  piece.text = text + piece.text;
  if (piece.lead > 0) piece.lead += text.length;
}
