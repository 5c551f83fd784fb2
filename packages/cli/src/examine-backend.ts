// Tests a backend in a child process, so that a crash or the output of a native library does not affect the command.
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** The result of testing a backend with the default model. */
export type BackendReport =
  | {
      readonly backend: string;
      readonly state: 'ok';
      /** Description of the device and its versions. */
      readonly device: string;
      /** Short sentences per second with the default model. */
      readonly sentencesPerSecond: number;
      /** The largest difference from the self-check values of the model, relative to the length of a vector. */
      readonly difference: number | null;
    }
  | { readonly backend: string; readonly state: 'missing' | 'broken'; readonly reason: string };

/**
 * Tests a backend. `missing`: it is not available on this machine. `broken`: it fails, crashes or computes wrong
 * values.
 * @throws the reason of `signal` when it is aborted
 */
export async function examineBackend(name: string, signal: AbortSignal): Promise<BackendReport> {
  const program = fileURLToPath(new URL('./backend-examiner.js', import.meta.url));
  const child = fork(program, [name], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'], execArgv: [], signal });
  let report: BackendReport | undefined;
  let printed = '';
  child.on('message', (message) => (report = message as BackendReport));
  child.stderr!.on('data', (text: Buffer) => (printed += text.toString()));
  const end = await new Promise<string>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, killedBy) => resolve(killedBy ?? `exit code ${code}`));
  }).catch((error: unknown) => {
    signal.throwIfAborted();
    throw error;
  });
  const lastWords = printed.trim().split('\n').at(-1);
  return report ?? { backend: name, state: 'broken', reason: `It crashes the process (${end}): ${lastWords}` };
}
