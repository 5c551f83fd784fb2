// Renders the help pages `sentvec --help` and `sentvec COMMAND --help`, in the width of the terminal.
import { styleText } from 'node:util';
import type { ArgDef } from 'citty';
import { type Command, commonArguments } from './command.ts';
import { commandNames, summaryOf } from './commands.ts';
import { valueHint } from './parse-arguments.ts';
import { outputWidth } from './table.ts';
import { renderDefinitions, wrapText } from './wrap-text.ts';

/** The page that `sentvec COMMAND --help` prints. */
export function commandHelp(command: Command): string {
  const width = pageWidth();
  const args = Object.entries<ArgDef>({ ...command.args, ...commonArguments });
  const positionals = args.filter(([, { type }]) => type === 'positional');
  const options = args.filter(([, { type }]) => type !== 'positional');
  const usage = [
    `${heading('USAGE')} sentvec ${command.name}`,
    ...positionals.map(([name, definition]) => `<${valueHint(name, definition)}>`),
    ...options
      .filter(([, { required }]) => required)
      .map(([name, definition]) => `--${name} ${valueHint(name, definition)}`),
    '[OPTIONS]',
  ].join(' ');
  return [
    wrapText(command.summary, width),
    usage,
    ...(positionals.length === 0 ? [] : [heading('ARGUMENTS')]),
    ...(positionals.length === 0
      ? []
      : [
          renderDefinitions(
            positionals.map(([name, definition]) => [valueHint(name, definition), description(definition)]),
            width,
          ),
        ]),
    heading('OPTIONS'),
    renderDefinitions(
      options.map(([name, definition]) => [optionTerm(name, definition), description(definition)]),
      width,
    ),
    heading('EXAMPLES'),
    ...command.examples.map(({ line, does }) => `  # ${wrapText(does, width - 4)}\n  ${line}`),
    ...(command.notes ?? []).map((note) => wrapText(note, width)),
  ].join('\n\n');
}

/** `-o, --output DIR` */
function optionTerm(name: string, definition: ArgDef): string {
  const alias = 'alias' in definition && typeof definition.alias === 'string' ? `-${definition.alias}, ` : '    ';
  if (definition.type !== 'boolean') return `${alias}--${name} ${valueHint(name, definition)}`;
  return `${alias}--${isOnByDefault(definition) ? 'no-' : ''}${name}`;
}

function description(definition: ArgDef): string {
  if (isOnByDefault(definition)) return definition.negativeDescription ?? definition.description ?? '';
  const preset = typeof definition.default === 'string' ? [`Default: ${definition.default}.`] : [];
  const required = definition.required ? ['Required.'] : [];
  return [definition.description ?? '', ...preset, ...required].join(' ');
}

/** Whether a flag is on by default. The help then shows it as `--no-NAME`. */
function isOnByDefault(definition: ArgDef): definition is Extract<ArgDef, { type?: 'boolean' }> {
  return definition.type === 'boolean' && definition.default === true;
}

/** The page that `sentvec --help` prints. */
export async function overview(): Promise<string> {
  const width = pageWidth();
  const summaries = await Promise.all(commandNames.map(async (name) => [name, await summaryOf(name)] as const));
  return `Embeds texts as vectors, which can be compared by meaning.

${heading('USAGE')} sentvec COMMAND [OPTIONS] …

${heading('COMMANDS')}

${renderDefinitions(summaries, width)}

${heading('EXAMPLES')}

  # Embed a file, a text on each line; search it by meaning
  sentvec embed quotes.txt --output vectors
  sentvec search vectors "the sea at night"

  # How alike are these?
  sentvec similarity "A cat sleeps." "A kitten naps." "Rates rose."

${wrapText('sentvec COMMAND --help shows the help of a command, sentvec --version the version.', width)}

${wrapText('Exit codes: 0 success; 1 failure; 2 invalid command line; 3 a row was rejected with --strict; 130 interrupted.', width)}`;
}

function heading(text: string): string {
  return process.stdout.isTTY && process.env['NO_COLOR'] === undefined ? styleText('bold', text) : text;
}

/** The width of the terminal, limited because long lines are hard to read. */
function pageWidth(): number {
  return Math.min(outputWidth(), 100);
}
