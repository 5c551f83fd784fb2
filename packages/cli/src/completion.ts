// Shell completion of `sentvec`: commands, flags and values of flags.
import type { ArgDef } from 'citty';
import { commonArguments } from './command.ts';
import { commandNames, findCommand } from './commands.ts';
import { flagSpellings, valuesOf } from './parse-arguments.ts';

/** A candidate for the next word, and its description. */
export interface Candidate {
  readonly word: string;
  readonly description?: string | undefined;
}

/**
 * Returns the candidates for the last word, which may be empty.
 * @param words the command line after `sentvec`
 * @returns no candidates if a file, a text or a number is expected
 */
export async function candidates(words: readonly string[]): Promise<readonly Candidate[]> {
  const current = words.at(-1) ?? '';
  const before = words.slice(0, -1);
  const found = await findCommand(before);
  const all = found === undefined ? nextCommandWords(before) : flagsOrValues(found.command.args, found.rest, current);
  return all.filter(({ word }) => word.startsWith(current));
}

function nextCommandWords(before: readonly string[]): readonly Candidate[] {
  const next = commandNames
    .map((name) => name.split(' '))
    .filter((name) => before.every((word, index) => word === name[index]))
    .map((name) => name[before.length]!);
  return [...new Set(next)].map((word) => ({ word }));
}

function flagsOrValues(
  commandArguments: Readonly<Record<string, ArgDef>>,
  rest: readonly string[],
  current: string,
): readonly Candidate[] {
  const flags = Object.entries<ArgDef>({ ...commandArguments, ...commonArguments })
    .filter(([, definition]) => definition.type !== 'positional')
    .flatMap(([name, definition]) =>
      flagSpellings(name, definition).map((spelling) => ({ word: `--${spelling}`, name, definition })),
    );
  const last = rest.at(-1) ?? '';
  const awaiting = flags.find(({ word, definition }) => last === word || last === shortForm(definition));
  if (awaiting !== undefined && awaiting.definition.type !== 'boolean')
    return valuesOf(awaiting.definition).map((word) => ({ word }));
  if (!current.startsWith('-')) return [];
  return flags
    .filter(({ word }) => !rest.includes(word))
    .map(({ word, definition }) => ({ word, description: definition.description }));
}

function shortForm(definition: ArgDef): string | undefined {
  return 'alias' in definition && typeof definition.alias === 'string' ? `-${definition.alias}` : undefined;
}

/** Completion scripts, which call `sentvec --complete`. Without candidates, the shell completes file names. */
export const completionScripts = {
  bash: `_sentvec() {
  local IFS=$'\\n'
  local found
  found=$(sentvec --complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null | cut -f1)
  COMPREPLY=($(compgen -W "$found" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _sentvec sentvec`,
  zsh: `#compdef sentvec
_sentvec() {
  local -a found
  found=("\${(@f)$(sentvec --complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  found=("\${(@)\${(@)found//:/\\\\:}/$'\\t'/:}")
  if [[ -n "$found[1]" ]]; then _describe sentvec found; else _files; fi
}
if [[ "$funcstack[1]" == _sentvec ]]; then _sentvec "$@"; else compdef _sentvec sentvec; fi`,
  fish: `function __sentvec_find
  set -l before (commandline -opc)
  set -l current (commandline -ct)
  set -g __sentvec_found (sentvec --complete -- $before[2..-1] "$current" 2>/dev/null)
  test (count $__sentvec_found) -gt 0
end
complete -c sentvec -n __sentvec_find -f -a '$__sentvec_found'`,
} as const;
