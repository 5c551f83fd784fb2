// Wraps text for a terminal.

/**
 * Wraps a paragraph to lines of at most `width` characters. A longer word gets its own line.
 * @param indent number of spaces before each line except the first; `width` includes them
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

/** Renders terms and their descriptions in two columns. A long term has its own line above its description. */
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
