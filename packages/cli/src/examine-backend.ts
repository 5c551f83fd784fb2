// Tries a backend on this machine in a process of its own, so that the output or a crash of a native library stays
// there.
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** What a backend does on this machine, tried with the default model. */
export type BackendReport =
  | {
      readonly backend: string;
      readonly state: 'ok';
      /** What it runs on, with versions. */
      readonly device: string;
      /** Short sentences of the default model. */
      readonly sentencesPerSecond: number;
      /** The largest difference from the model's own values, in lengths of a vector. */
      readonly difference: number | null;
    }
  | { readonly backend: string; readonly state: 'missing' | 'broken'; readonly reason: string };

/**
 * Tries a backend. One that cannot work here is `missing`; one that fails, crashes or computes something else is
 * `broken`.
 * @throws the reason of `signal` when it fires
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
  return report ?? { backend: name, state: 'broken', reason: `It ends the process (${end}): ${lastWords}` };
}
