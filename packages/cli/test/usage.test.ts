import { spawnSync, type StdioOptions } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { stripVTControlCharacters } from 'node:util';
import { describe, expect, it } from 'vitest';
import { commandSummaries } from '../src/command-summaries.ts';
import { commandNames, findCommand, summaryOf } from '../src/commands.ts';
import { finished, program, Workplace } from './sentvec.ts';

const place = new Workplace();

describe('help', () => {
  it('lists the commands', async () => {
    const page = await place.succeed(['--help']);
    for (const name of ['embed', 'similarity', 'search', 'evaluate sts', 'info', 'export', 'doctor'])
      expect(page).toContain(`\n  ${name} `);
    expect(page).toContain('sentvec embed quotes.txt --output vectors');
  });

  it('lists each command with the name and summary of its module', async () => {
    for (const name of commandNames) {
      const found = await findCommand(name.split(' '));
      expect([found!.command.name, await summaryOf(name)]).toEqual([name, found!.command.summary]);
    }
    expect(commandNames).toEqual(expect.arrayContaining(Object.keys(commandSummaries)));
  });

  it.each(['embed', 'similarity', 'search', 'evaluate sts', 'info', 'export', 'doctor'])(
    'explains %s with examples',
    async (name) => {
      const page = await place.succeed([...name.split(' '), '--help']);
      expect(page).toContain(`USAGE sentvec ${name}`);
      expect(page).toMatch(/EXAMPLES\n\n {2}# .+\n {2}\w/);
      expect(page).toContain('--json');
      expect(page).toBe(stripVTControlCharacters(page));
    },
  );

  it('prints the version', async () => {
    expect(await place.succeed(['--version'])).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});

describe('an invalid command line exits with 2, an empty standard output, and a hint', () => {
  it.each<[string[], RegExp]>([
    [[], /COMMANDS/],
    [['embded', 'x'], /no command embded\. Did you mean embed\?/],
    [['evaluate'], /evaluate sts/],
    [['--json', 'embed'], /command comes first/],
    [['embed', 'a.txt', '--ouput', 'x'], /no flag --ouput\. Did you mean --output\?/],
    [['embed', 'a.txt', '-o', 'x', '-q'], /no flag -q/],
    [['embed', 'a.txt'], /--output/],
    [['embed', '--output', 'x'], /INPUT/],
    [['embed', 'a.txt', '--output'], /--output needs a value: --output DIR/],
    [['embed', 'a.txt', '--output', '--resume'], /--output needs a value/],
    [['embed', 'a.txt', '-o', 'x', '-o', 'y'], /given twice/],
    [['embed', 'a.txt', '-o', 'x', '--resume=yes'], /--resume takes no value/],
    [['embed', 'a.txt', '-o', 'x', '--format', 'xml'], /--format.*parquet, npy, arrow, jsonl/],
    [
      ['embed', 'a.txt', '-o', 'x', '--truncate-dim', 'many'],
      /--truncate-dim must be a whole number, at least 1; it is "many"/,
    ],
    [['similarity', 'one', 'two', '--threads', '0'], /--threads/],
    [['embed', 'a.txt', '-o', 'x', '--resume', '--overwrite'], /cannot be combined/],
    [['embed', 'a.txt', '-o', 'x', '--backend', 'abacus'], /--backend.*auto, onnx/],
    [['similarity', 'one'], /two texts/],
    [['search', 'folder'], /QUERY/],
    [['search', 'folder', 'the', 'sea'], /sentvec search folder "the sea"/],
    [['evaluate', 'sts', 'a.csv', '--columns', 'a,b'], /--columns needs two text columns and a score/],
  ])('%j', async (words, hint) => {
    const { code, stdout, stderr } = await place.run(words);
    expect(stderr).toMatch(hint);
    expect(code).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).not.toMatch(/\n\s+at /);
  });
});

describe('errors', () => {
  const missing = ['info', './no-such-model'];

  it('are printed as a message without a stack trace', async () => {
    const { code, stdout, stderr } = await place.run(missing);
    expect(code).toBe(1);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/^sentvec: .*no-such-model/);
    expect(stderr).not.toMatch(/\n\s+at /);
  });

  it('have a stack trace with --debug', async () => {
    const { stderr } = await place.run([...missing, '--debug']);
    expect(stderr).toMatch(/\n\s+at /);
  });

  it('are JSON with --json', async () => {
    const { code, stderr } = await place.run([...missing, '--json']);
    expect(code).toBe(1);
    expect(JSON.parse(stderr)).toMatchObject({
      error: { code: 'model-not-found', message: expect.stringContaining('no-such-model') },
    });
  });
});

it('exits silently if the reader of its output has closed the pipe', async () => {
  const child = place.start(['--help']);
  child.stdout.destroy();
  const { code, stderr } = await finished(child);
  expect(stderr).toBe('');
  expect(code).toBe(0);
});

it.skipIf(process.platform !== 'linux')(
  'says in a sentence that its output could not be written (Linux has /dev/full)',
  () => {
    const full = openSync('/dev/full', 'w');
    try {
      const toFull = (words: readonly string[], stdio: StdioOptions) =>
        spawnSync(process.execPath, [program, ...words], { stdio, encoding: 'utf8' });
      const { status, stderr } = toFull(['--help'], ['ignore', full, 'pipe']);
      expect([status, stderr]).toEqual([
        1,
        'sentvec: Writing failed: standard output (ENOSPC). The disk is full. Free some space.\n',
      ]);
      expect(toFull(['nosuch'], ['ignore', 'pipe', full]).status).toBe(2);
    } finally {
      closeSync(full);
    }
  },
);

it('exits with an error code after a failure, even if standard error is closed', async () => {
  const child = place.start(['info', './no-such-model']);
  child.stderr.destroy();
  const { code } = await finished(child);
  expect(code).toBe(1);
});
