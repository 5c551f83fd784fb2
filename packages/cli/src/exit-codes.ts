/** The exit codes of `sentvec`. They are stable, so scripts may rely on them. */
export const exitCode = {
  /** Success. */
  ok: 0,
  /** Failure; the error message says why and what to do. */
  failure: 1,
  /** Invalid command line: an unknown command or flag, or an invalid value. */
  usage: 2,
  /** A row was rejected with `--strict`. */
  rejectedRows: 3,
  /** `queue watch --max-idle`, and nothing could work on the run for that long. The run waits on. */
  idle: 4,
  /** `--max-failed`, and some items failed: all others are done, and the output is not complete. */
  incomplete: 5,
  /** Ctrl-C. */
  interrupted: 130,
} as const;
