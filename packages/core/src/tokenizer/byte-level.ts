/**
 * Two representations of UTF-8 bytes in vocabularies: the alphabet of GPT-2's byte-level BPE, and the tokens `<0x00>`
 * to `<0xFF>` of byte fallback.
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

/** Encodes a text as UTF-8 and represents each byte by its character in the alphabet of GPT-2. */
export function bytesAsCharacters(text: string): string {
  if (printableAscii.test(text)) return text;
  let result = '';
  for (const byte of encoder.encode(text)) result += characters[byte]!;
  return result;
}

/** The byte fallback tokens of a text, such as `<0x0A>`. */
export function bytePieces(text: string): string[] {
  return Array.from(encoder.encode(text), (byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`);
}
