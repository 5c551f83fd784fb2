// The definition of a command, and the context that its `run` gets.
import type { ArgsDef, ParsedArgs } from 'citty';

/** The context of a running command. `Flags` are the values of its flags, by name. */
export interface CommandContext<Flags> {
  readonly args: Flags;
  /** All arguments that are not flags, in order. */
  readonly positionals: readonly string[];
  /** Aborted at Ctrl-C. */
  readonly signal: AbortSignal;
  /** Writes the result to standard output: as JSON with `--json`, else as text. Nothing else is written there. */
  readonly print: (result: { readonly text: string; readonly json: unknown }) => Promise<void>;
  /** Writes a note for the user to standard error. */
  readonly note: (text: string) => void;
  /** Writes an error to standard error, for a command that chooses its own exit code. */
  readonly report: (error: unknown) => Promise<void>;
}

/** One subcommand of `sentvec`. */
export interface Command {
  /** The name without `sentvec`, such as `embed` or `evaluate sts`. */
  readonly name: string;
  /** One sentence for the list of commands. */
  readonly summary: string;
  readonly args: ArgsDef;
  /** Example command lines for a shell, with explanations. */
  readonly examples: readonly { readonly line: string; readonly does: string }[];
  /** Further paragraphs of the help page. */
  readonly notes?: readonly string[] | undefined;
  /**
   * Executes the command.
   * @returns the exit code; `undefined` means 0
   */
  run(context: CommandContext<unknown>): Promise<number | void>;
}

/** A command whose `run` knows the types of its flags. */
export interface TypedCommand<Args extends ArgsDef> extends Command {
  readonly args: Args;
  run(context: CommandContext<ParsedArgs<Args>>): Promise<number | void>;
}

/** Declares a command. The types of the flags in `run` are inferred from `args`. */
export function defineCommand<const Args extends ArgsDef>(command: TypedCommand<Args>): Command {
  return command;
}

/**
 * Declares flags separately from a command, for functions that need their types: `CommandContext<ParsedArgs<typeof
 * flags>>`.
 */
export function defineArguments<const Args extends ArgsDef>(args: Args): Args {
  return args;
}

/** Flags of every command. */
export const commonArguments = {
  json: { type: 'boolean', description: 'Print the result as JSON, and errors as JSON on standard error.' },
  debug: { type: 'boolean', description: 'Show the stack trace of an error.' },
  help: { type: 'boolean', alias: 'h', description: 'Show the help of this command.' },
} as const;
