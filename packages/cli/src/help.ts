import { stripVTControlCharacters } from 'node:util';
import { renderUsage } from 'citty';
import { type Command, commonArguments } from './command.ts';
import { loadAllCommands } from './commands.ts';

/** The page that `sentvec COMMAND --help` prints. */
export async function commandHelp(command: Command): Promise<string> {
  const usage = await renderUsage({
    meta: { name: `sentvec ${command.name}`, description: command.summary },
    args: { ...command.args, ...commonArguments },
  });
  const examples = command.examples.map(({ line, does }) => `  # ${does}\n  ${line}`);
  return [
    withoutColor(usage).replaceAll(/ +$/gm, '').trimEnd(),
    'EXAMPLES',
    ...examples,
    ...(command.notes ?? []),
  ].join('\n\n');
}

/** The page that `sentvec --help` prints. */
export async function overview(): Promise<string> {
  const commands = await loadAllCommands();
  const width = Math.max(...commands.map(({ name }) => name.length));
  return `Texts in, vectors that can be compared by meaning out.

USAGE sentvec COMMAND [OPTIONS] …

COMMANDS

${commands.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`).join('\n')}

EXAMPLES

  # Embed a file of texts, a line each, then search it by meaning
  sentvec embed quotes.txt --output vectors
  sentvec search vectors "the sea at night"

  # How alike are these?
  sentvec similarity "A cat sleeps." "A kitten naps." "Rates rose."

sentvec COMMAND --help explains a command, sentvec --version says which version this is.

Exit codes: 0 done; 1 failed; 2 the command line makes no sense; 3 --strict and a row was rejected; 130 interrupted.`;
}

/** citty colors its page also where it is piped. */
function withoutColor(text: string): string {
  return process.stdout.isTTY && process.env['NO_COLOR'] === undefined ? text : stripVTControlCharacters(text);
}
