// Parses the arguments of a command.
import { parseArgs as tokenize, stripVTControlCharacters } from 'node:util';
import { type ArgDef, type ArgsDef, parseArgs, type ParsedArgs } from 'citty';
import { suggestion, UsageError } from './usage-error.ts';

/**
 * Parses the flags and positionals of a command. Stricter than citty alone, which accepts unknown flags.
 * @throws UsageError for an unknown or repeated flag, or for a missing or invalid value
 */
export function parseArguments<Args extends ArgsDef>(
  words: readonly string[],
  args: Args,
): { args: ParsedArgs<Args>; positionals: string[] } {
  checkFlags(words, args);
  try {
    const parsed = parseArgs<Args>([...words], args);
    return { args: parsed, positionals: parsed._ };
  } catch (error) {
    // citty's messages have colour codes even without a terminal, and some have no full stop.
    const message = stripVTControlCharacters((error as Error).message);
    throw new UsageError(message.endsWith('.') ? message : `${message}.`);
  }
}

function checkFlags(words: readonly string[], args: ArgsDef): void {
  const flags = Object.entries(args)
    .filter(([, definition]) => definition.type !== 'positional')
    .flatMap(([name, definition]) =>
      flagSpellings(name, definition).map((spelling) => [spelling, definition] as const),
    );
  const { tokens } = tokenize({
    args: [...words],
    options: Object.fromEntries(flags.map(([name, definition]) => [name, tokenizerOption(definition)])),
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const seen = new Set<string>();
  for (const token of tokens) {
    if (token.kind !== 'option') continue;
    const definition = flags.find(([name]) => name === token.name)?.[1];
    if (definition === undefined) throw unknownFlag(token.rawName, flags);
    if (seen.has(token.name)) throw new UsageError(`${token.rawName} is given twice.`);
    seen.add(token.name);
    if (definition.type === 'boolean') {
      if (token.value !== undefined) throw new UsageError(`${token.rawName} takes no value.`);
    } else if (
      token.value === undefined ||
      token.value === '' ||
      (!token.inlineValue && token.value.startsWith('--'))
    ) {
      throw new UsageError(`${token.rawName} needs a value: ${token.rawName} ${valueHint(token.name, definition)}`);
    }
  }
}

/** The spellings of a flag. A flag that is on by default is turned off by `--no-NAME`. */
export function flagSpellings(name: string, definition: ArgDef): readonly string[] {
  return definition.type === 'boolean' && definition.default === true ? [name, `no-${name}`] : [name];
}

function tokenizerOption(definition: ArgDef): { type: 'string' | 'boolean'; short?: string } {
  const alias = 'alias' in definition && typeof definition.alias === 'string' ? { short: definition.alias } : {};
  return { type: definition.type === 'boolean' ? 'boolean' : 'string', ...alias };
}

/** The placeholder for the value of a flag in the help, such as `DIR` or `parquet|npy`. */
export function valueHint(name: string, definition: ArgDef): string {
  return valuesOf(definition).join('|') || (definition.valueHint ?? name.toUpperCase());
}

/** The allowed values of a flag, if they are limited. */
export function valuesOf(definition: ArgDef): readonly string[] {
  return definition.type === 'enum' ? (definition.options ?? []) : [];
}

function unknownFlag(typed: string, flags: readonly (readonly [string, ArgDef])[]): UsageError {
  const known = flags.map(([name]) => `--${name}`);
  return new UsageError(`There is no flag ${typed}.${suggestion(typed, known)}`);
}

/**
 * Parses the value of a flag as a whole number. `undefined` if the flag is not given.
 * @throws UsageError when it is not a whole number, or below `least` (default 1)
 */
export function wholeNumber(value: string | undefined, flag: string, least = 1): number | undefined {
  if (value === undefined) return undefined;
  const number = /^\d+$/.test(value) ? Number(value) : NaN;
  if (Number.isSafeInteger(number) && number >= least) return number;
  throw new UsageError(`${flag} must be a whole number, at least ${least}; it is ${JSON.stringify(value)}.`);
}

/** Joins words to a shell command line, and quotes them if necessary. */
export function shellWords(words: readonly string[]): string {
  return words.map((word) => (/^[\w./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)).join(' ');
}
