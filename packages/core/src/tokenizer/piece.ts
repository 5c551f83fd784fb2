/** A part of a text on its way to tokens. */
export interface Piece {
  text: string;
  /**
   * How many of its UTF-16 code units come from the first character of the whole text: Metaspace asks whether a piece
   * begins where the text began. (Nothing else is needed from the alignments of NormalizedString in the Rust
   * tokenizers.)
   */
  lead: number;
}

/** The part of a piece from one position to another. */
export function slice({ text, lead }: Piece, start: number, end: number): Piece {
  return { text: text.slice(start, end), lead: lead === 0 ? 0 : Math.max(0, Math.min(lead, end) - start) };
}

/** The parts of a piece that follow one another in it, from left to right, with or without text between them. */
export function slices(piece: Piece, texts: readonly string[]): Piece[] {
  if (piece.lead === 0) return texts.map((text) => ({ text, lead: 0 }));
  let end = 0;
  return texts.map((text) => {
    const start = piece.text.indexOf(text, end);
    end = start + text.length;
    return slice(piece, start, end);
  });
}

/** Puts a text before that of a piece. It counts as part of the piece's first character. */
export function prepend(piece: Piece, text: string): void {
  piece.text = text + piece.text;
  if (piece.lead > 0) piece.lead += text.length;
}
