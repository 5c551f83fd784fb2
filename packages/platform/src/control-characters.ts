/** Controls but tab and line feed, and what turns the direction of text. */
const controls = /(?![\t\n])[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu;

/**
 * The text with control characters written as `\u001b`, so that a name from a file cannot move the cursor of a
 * terminal, hide what is before it, or ring its bell. Tabs and line feeds stay.
 */
export function escapeControlCharacters(text: string): string {
  return text.replace(controls, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
