// Text for a terminal of some width: lines are broken between words.

/**
 * Breaks a paragraph into lines of at most `width` characters, between words; a longer word gets a line of its own.
 * @param indent spaces before each line but the first; `width` includes them
 */
export function wrapText(text: string, width: number, indent = 0): string {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const line = lines.at(-1);
    if (line !== undefined && line.length + 1 + word.length <= width - indent) lines[lines.length - 1] += ` ${word}`;
    else lines.push(word);
  }
  return lines.join(`\n${' '.repeat(indent)}`);
}

/** Terms and their descriptions in two columns; a long term has a line of its own, above its description. */
export function renderDefinitions(definitions: readonly (readonly [string, string])[], width: number): string {
  const longest = Math.max(...definitions.map(([term]) => term.length));
  const column = 2 + Math.min(longest, Math.max(16, Math.floor(width * 0.35))) + 2;
  return definitions
    .map(([term, text]) => {
      const start = term.length + 4 <= column ? `  ${term}`.padEnd(column) : `  ${term}\n${' '.repeat(column)}`;
      return start + wrapText(text, width, column);
    })
    .join('\n');
}
