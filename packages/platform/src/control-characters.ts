/** C0 and C1 controls but tab and line feed, and what turns the direction of text. */
const controls = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/gu;

/**
 * The text with control characters written as `\u001b`, so that a name from a file cannot move the cursor of a
 * terminal, hide what stands before it, or ring its bell. Tabs and line feeds stay.
 */
export function escapeControlCharacters(text: string): string {
  return text.replace(controls, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
