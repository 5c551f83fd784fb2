// The definition of a command, and the context that its `run` gets.
import type { ArgsDef, ParsedArgs } from 'citty';

/** What a command gets to work with. `Flags` are the values of its flags, by name. */
export interface CommandContext<Flags> {
  readonly args: Flags;
  /** Everything that is not a flag, in order. */
  readonly positionals: readonly string[];
  /** Fires at Ctrl-C. */
  readonly signal: AbortSignal;
  /** Writes the result to standard output, where nothing else is written: as JSON with `--json`, else as text. */
  readonly print: (result: { readonly text: string; readonly json: unknown }) => Promise<void>;
  /** Writes a remark for a person to standard error. */
  readonly note: (text: string) => void;
  /** Writes an error to standard error, for a command that chooses its own exit code. */
  readonly report: (error: unknown) => Promise<void>;
}

/** One subcommand of `sentvec`. */
export interface Command {
  /** As it is typed, without `sentvec`: `embed`, `evaluate sts`. */
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  readonly args: ArgsDef;
  /** Lines that can be pasted into a shell, each with what it does. */
  readonly examples: readonly { readonly line: string; readonly does: string }[];
  /** What else a person needs to know, a paragraph each. */
  readonly notes?: readonly string[] | undefined;
  /**
   * Gets the flags as `args` describes them.
   * @returns the exit code; nothing for 0
   */
  run(context: CommandContext<unknown>): Promise<number | void>;
}

/** A command whose `run` knows the types of its flags. */
export interface TypedCommand<Args extends ArgsDef> extends Command {
  readonly args: Args;
  run(context: CommandContext<ParsedArgs<Args>>): Promise<number | void>;
}

/** Declares a command: its `run` gets flags of the types that `args` says. */
export function defineCommand<const Args extends ArgsDef>(command: TypedCommand<Args>): Command {
  return command;
}

/**
 * Declares flags on their own, for a command whose parts need their types: `CommandContext<ParsedArgs<typeof flags>>`.
 */
export function defineArguments<const Args extends ArgsDef>(args: Args): Args {
  return args;
}

/** Flags that every command has. */
export const commonArguments = {
  json: { type: 'boolean', description: 'Print the result as JSON, and errors as JSON on standard error.' },
  debug: { type: 'boolean', description: 'Show the stack of an error.' },
  help: { type: 'boolean', alias: 'h', description: 'Explain this command.' },
} as const;
