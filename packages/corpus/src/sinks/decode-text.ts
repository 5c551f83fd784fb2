/** Keeps a leading U+FEFF as a character of the text. */
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

/** Decodes UTF-8. */
export function decodeText(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}
