/**
 * The bytes of UTF-8 as characters, two ways: the alphabet of GPT-2, and the pieces `<0x00>` to `<0xFF>` of
 * vocabularies with byte fallback.
 */

/** A printable character for each byte; https://github.com/openai/gpt-2/blob/master/src/encoder.py, `bytes_to_unicode` */
const characters: readonly string[] = byteCharacters();
const printableAscii = /^[!-~]*$/u;
const encoder = new TextEncoder();

function byteCharacters(): string[] {
  let others = 0;
  return Array.from({ length: 256 }, (_, byte) => {
    const isPrintable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte !== 0xad);
    if (isPrintable) return String.fromCharCode(byte);
    others += 1;
    return String.fromCharCode(0xff + others);
  });
}

/** A text whose characters stand for the bytes of another. */
export function bytesAsCharacters(text: string): string {
  if (printableAscii.test(text)) return text;
  let result = '';
  for (const byte of encoder.encode(text)) result += characters[byte]!;
  return result;
}

/** The pieces of a text's bytes: `<0x0A>` and so on. */
export function bytePieces(text: string): string[] {
  return Array.from(encoder.encode(text), (byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`);
}
