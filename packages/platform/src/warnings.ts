interface Process {
  readonly emitWarning?: (message: string, type: string) => void;
}

/**
 * Tells the user of something that works differently than asked: with `process.emitWarning` in Node, which a program
 * can listen to and silence, with `console.warn` in a browser. The default of every `onWarning` option.
 * @param message one sentence: what differs, and what to do
 */
export function warn(message: string): void {
  const { process } = globalThis as { readonly process?: Process };
  if (process?.emitWarning !== undefined) process.emitWarning(message, 'SentvecWarning');
  // oxlint-disable-next-line no-console -- Browsers have no other place for warnings.
  else console.warn(message);
}
