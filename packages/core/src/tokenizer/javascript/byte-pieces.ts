/**
 * The pieces of a text's UTF-8 bytes, `<0x0A>` and so on, by which a vocabulary with byte fallback spells unknown
 * characters.
 */
export function bytePieces(text: string): string[] {
  return Array.from(
    new TextEncoder().encode(text),
    (byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`,
  );
}
