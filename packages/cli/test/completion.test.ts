// Runs bash, zsh and fish with the completion script that the command prints.
import { spawn, spawnSync } from 'node:child_process';
import { chmod, writeFile } from 'node:fs/promises';
import { delimiter } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stripVTControlCharacters } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';
import { finished, Workplace } from './sentvec.ts';

const place = new Workplace();
const program = fileURLToPath(new URL('../bin/sentvec.mjs', import.meta.url));
let environment: NodeJS.ProcessEnv;

beforeAll(async () => {
  for (const shell of ['zsh', 'fish'])
    if (spawnSync(shell, ['--version']).status !== 0)
      throw new Error(`${shell} is not installed, and completion is tried in it: apt-get install ${shell}.`);
  await writeFile(place.path('sentvec'), `#!/bin/sh\nexec '${process.execPath}' '${program}' "$@"\n`);
  await chmod(place.path('sentvec'), 0o755);
  for (const shell of ['bash', 'zsh', 'fish'])
    await place.write(`completion.${shell}`, await place.succeed(['completion', shell]));
  environment = {
    ...process.env,
    PATH: `${place.directory}${delimiter}${process.env['PATH']}`,
    HOME: place.directory,
    TERM: 'xterm',
  };
});

async function run(shell: string, options: readonly string[], input = ''): Promise<string> {
  const child = spawn(shell, options, { cwd: place.directory, env: environment });
  child.stdin.end(input);
  return (await finished(child)).stdout;
}

/** Returns the completions of the last word in bash. */
async function inBash(words: readonly string[]): Promise<string[]> {
  const quoted = ['sentvec', ...words].map((word) => `'${word}'`).join(' ');
  const script = `source completion.bash; COMP_WORDS=(${quoted}); COMP_CWORD=${words.length}; _sentvec; printf '%s\\n' "\${COMPREPLY[@]}"`;
  return (await run('bash', ['--norc', '-c', script])).split('\n').filter(Boolean);
}

describe('bash', () => {
  it.each<[string[], string[]]>([
    [['em'], ['embed']],
    [
      ['evaluate', 'cl'],
      ['classification', 'clustering'],
    ],
    [
      ['completion', ''],
      ['bash', 'zsh', 'fish'],
    ],
    [['embed', '--in'], ['--input-format']],
    [['embed', 'a.txt', '--no-'], ['--no-self-check']],
    [
      ['embed', '--format', ''],
      ['parquet', 'npy', 'arrow', 'jsonl'],
    ],
    [['embed', '--format', 'p'], ['parquet']],
    [['embed', '-o', ''], []],
    [['embed', ''], []],
    [['no-such-command', ''], []],
  ])('%j', async (words, expected) => {
    expect(await inBash(words)).toEqual(expected);
  });
});

it('fish: completions have descriptions', async () => {
  const complete = (line: string): Promise<string> =>
    run('fish', ['--no-config', '-c', `source completion.fish; complete -C '${line}'`]);
  expect(await complete('sentvec embed --overw')).toMatch(/^--overwrite\t.+/u);
  expect((await complete('sentvec queue p')).trim()).toBe('pause');
  expect(await complete('sentvec embed --output compl')).toContain('completion.fish');
});

it.skipIf(process.platform !== 'linux')(
  'zsh: at a tab (of a terminal that is made by script of util-linux, on Linux)',
  async () => {
    const lines = ['autoload -U compinit; compinit -u', 'source completion.zsh', 'sentvec embed --overw\t; exit', ''];
    const output = await run('script', ['-qefc', 'zsh -f -i', '/dev/null'], lines.join('\n'));
    expect(stripVTControlCharacters(output)).toContain('sentvec embed --overwrite');
  },
);
