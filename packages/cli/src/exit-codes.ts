/** What the exit code of `sentvec` means. Scripts may rely on it. */
export const exitCode = {
  /** Done. */
  ok: 0,
  /** It could not be done; the message says why and what to do. */
  failure: 1,
  /** The command line makes no sense: an unknown command or flag, a value that cannot be used. */
  usage: 2,
  /** `--strict`, and a row of the corpus was rejected. */
  rejectedRows: 3,
  /** Ctrl-C. */
  interrupted: 130,
} as const;
