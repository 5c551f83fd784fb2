// Parses the command line and runs the command.
import { createRequire } from 'node:module';
import { escapeControlCharacters } from '@sentvec/platform';
import { type Command, commonArguments } from './command.ts';
import { commandNames, findCommand } from './commands.ts';
import { exitCode } from './exit-codes.ts';
import { commandHelp, overview } from './help.ts';
import { parseArguments } from './parse-arguments.ts';
import { reportError, type ReportOptions } from './report-error.ts';
import { abortOnInterrupt, handleOutputErrors, writeResult } from './process.ts';
import { suggestion, UsageError } from './usage-error.ts';

/**
 * Runs `sentvec` with the arguments of a command line.
 * @returns the exit code
 */
export async function main(words: readonly string[]): Promise<number> {
  handleOutputErrors();
  let name: string | undefined;
  try {
    const [first] = words;
    if (first === undefined) {
      process.stderr.write(`${await overview()}\n`);
      return exitCode.usage;
    }
    if (first === '--help' || first === '-h' || first === 'help') return await show(await overview());
    if (first === '--version' || first === '-v') return await show(version());
    if (first === '--complete') return await complete(words.slice(words[1] === '--' ? 2 : 1));
    const found = await findCommand(words);
    if (found === undefined) throw unknownCommand(words);
    name = found.command.name;
    return await runCommand(found.command, found.rest);
  } catch (error) {
    return reportError(error, reportOptions(words, name));
  }
}

async function runCommand(command: Command, words: readonly string[]): Promise<number> {
  const end = words.indexOf('--');
  const flags = end < 0 ? words : words.slice(0, end);
  if (flags.includes('--help') || flags.includes('-h')) return await show(commandHelp(command));
  const { args, positionals } = parseArguments(words, { ...command.args, ...commonArguments });
  // Node opens all unloaded modules of an entry at once. Importing this entry first keeps the number of open files
  // below a limit of 64 per process.
  await import('@sentvec/core/node');
  await import('@sentvec/core');
  const code = await command.run({
    args,
    positionals,
    signal: abortOnInterrupt(),
    print: ({ text, json }) => writeResult(args.json ? JSON.stringify(json) : escapeControlCharacters(text)),
    note: (text) => void process.stderr.write(`${escapeControlCharacters(text)}\n`),
    report: async (error) => void (await reportError(error, reportOptions(words, command.name))),
  });
  return code ?? exitCode.ok;
}

function reportOptions(words: readonly string[], command: string | undefined): ReportOptions {
  return { command, json: words.includes('--json'), debug: words.includes('--debug') };
}

async function show(text: string): Promise<number> {
  await writeResult(text);
  return exitCode.ok;
}

/** Called by the scripts of `sentvec completion`. Prints one candidate per line, with a tab and its description. */
async function complete(words: readonly string[]): Promise<number> {
  const { candidates } = await import('./completion.ts');
  const found = await candidates(words);
  const lines = found.map(({ word, description }) => (description === undefined ? word : `${word}\t${description}`));
  return lines.length === 0 ? exitCode.ok : show(lines.join('\n'));
}

function version(): string {
  const { version: number }: { version: string } = createRequire(import.meta.url)('../package.json');
  return number;
}

function unknownCommand(words: readonly string[]): UsageError {
  const [first = ''] = words;
  if (first.startsWith('-')) return new UsageError(`The command comes first: sentvec COMMAND ${words.join(' ')}`);
  const inGroup = commandNames.filter((name) => name.startsWith(`${first} `));
  if (inGroup.length > 0) return new UsageError(`sentvec ${first} needs a subcommand: ${inGroup.join(', ')}.`);
  return new UsageError(`There is no command ${first}.${suggestion(first, commandNames)}`);
}
