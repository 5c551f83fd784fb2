// Tests the output in a terminal of 60 columns.
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { stripVTControlCharacters } from 'node:util';
import { goldenPath } from '@sentvec/testing';
import { describe, expect, it } from 'vitest';
import { finished, program, Workplace } from './sentvec.ts';

const place = new Workplace();
const columns = 60;

/** Starts the command in a pseudo-terminal with `script` of util-linux. */
function startInTerminal(words: readonly string[]): ChildProcessWithoutNullStreams {
  const quoted = [process.execPath, program, ...words].map((word) => `'${word}'`).join(' ');
  return spawn('script', ['-qefc', `stty cols ${columns}; exec ${quoted}`, '/dev/null'], {
    cwd: place.directory,
    env: { ...process.env, TERM: 'xterm', NO_COLOR: '1', HF_HUB_OFFLINE: '1' },
  });
}

const escape = String.fromCodePoint(27);

/** Returns the lines that a terminal shows after this output, which may erase lines and return to their start. */
function screenAfter(output: string): string[] {
  return output.split('\n').map((line) => {
    let shown = '';
    let column = 0;
    for (const [token] of line.matchAll(new RegExp(`${escape}\\[[\\d;?]*[A-Za-z]|[^]`, 'gu'))) {
      if (token === '\r' || token === `${escape}[1G`) column = 0;
      else if (token === `${escape}[0K` || token === `${escape}[K`) shown = shown.slice(0, column);
      else if (token === `${escape}[2K`) shown = '';
      else if (!token.startsWith(escape)) shown = shown.slice(0, column) + token + shown.slice(++column);
    }
    return shown;
  });
}

/** Returns the states of the progress bar, in order. */
function barsIn(output: string): string[] {
  // The terminal echoes ^C at the cursor.
  const written = output.replaceAll('^C', '').replaceAll(`${escape}[`, `\n${escape}[`);
  return [...stripVTControlCharacters(written).matchAll(/[█░·].*/gu)].map(([bar]) => bar);
}

const notHere = process.platform !== 'linux';

describe.skipIf(notHere)('in a terminal of 60 columns (made by script of util-linux, on Linux)', () => {
  it.each([['--help'], ['embed --help'], ['train --help'], ['queue submit --help'], ['worker --help']])(
    'sentvec %s wraps its lines, except examples and flags',
    async (line) => {
      const { stdout } = await finished(startInTerminal(line.split(' ')));
      const lines = stdout.replaceAll('\r', '').split('\n');
      const isExample = (each: string): boolean => /^ {2}(?:sentvec|\w+ .*\| sentvec|\w+=)/u.test(each);
      const isTerm = (each: string): boolean => /^ {2,6}-|^USAGE/u.test(each);
      const isWord = (each: string): boolean => !each.trim().includes(' ');
      const tooLong = lines.filter(
        (each) => each.length > columns && !isExample(each) && !isTerm(each) && !isWord(each),
      );
      expect(lines.length).toBeGreaterThan(20);
      expect(tooLong).toEqual([]);
    },
  );

  it('the progress bar fits and shows the remaining time; Ctrl-C removes it', async () => {
    await place.writeRows(
      'rows.jsonl',
      Array.from({ length: 40_000 }, (_, row) => ({ text: `sentence ${row} about many things` })),
    );
    const child = startInTerminal(['embed', 'rows.jsonl', '-o', 'vectors', '--model', goldenPath('models/tiny-bert')]);
    let seen = '';
    child.stdout.on('data', (text: Buffer) => {
      seen += text.toString();
      if (barsIn(seen).length >= 3 && !seen.includes('^C')) child.stdin.write('\u{3}');
    });
    const { code, stdout } = await finished(child);
    expect(code).toBe(130);
    const bars = barsIn(stdout);
    expect(bars.every((bar) => bar.length < columns)).toBe(true);
    expect(bars.at(-1)).toMatch(/^[█░]{8,}  [\d,]+ rows .* left$/u);
    const screen = screenAfter(stdout).join('\n');
    expect(screen).toMatch(/^Stopping … \(press Ctrl-C again to stop at once\)$/mu);
    expect(screen).not.toMatch(/[█░]/u);
  });
});
