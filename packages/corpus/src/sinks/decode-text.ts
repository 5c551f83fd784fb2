/** Decodes UTF-8 as it is: a leading U+FEFF is a letter of the text, not a byte order mark. */
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

/** The text of bytes in UTF-8. */
export function decodeText(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}
