// Loads onnxruntime-node with its reports to Microsoft switched off. Every package that runs it loads it from here.
import { isMainThread } from 'node:worker_threads';
import { warn } from '@sentvec/platform';

/** The module `onnxruntime-node`. */
export type OnnxRuntime = typeof import('onnxruntime-node');

/**
 * Loads onnxruntime-node. Its native library reports usage to Microsoft unless the environment of the process says
 * `ORT_DISABLE_TELEMETRY=1` when its first session opens: this sets it. A value that is there already stays, so
 * `ORT_DISABLE_TELEMETRY=0` allows the reports.
 *
 * A thread that is started after this call, or {@link switchOffReports}, may import onnxruntime-node itself.
 * @throws Error when the native library does not load
 */
export async function loadOnnxRuntime(): Promise<OnnxRuntime> {
  await switchOffReports();
  return import('onnxruntime-node'); // oxlint-disable-line no-restricted-imports -- the one place that may
}

/** Without loading it here: for a thread that will. */
export async function switchOffReports(): Promise<void> {
  if (isMainThread) process.env[variable] ??= off;
  else await setInMainThread();
}

const variable = 'ORT_DISABLE_TELEMETRY';
const off = '1';

/**
 * `process.env` of a worker thread is a copy. The native library reads the environment of the process, which only the
 * main thread can change; the inspector reaches the main thread even while it is busy.
 */
async function setInMainThread(): Promise<void> {
  const wanted = process.env[variable] ?? off;
  try {
    const { Session } = await import('node:inspector');
    const session = new Session();
    session.connectToMainThread();
    const expression = `process.env.${variable} ??= ${JSON.stringify(wanted)}`;
    // An answer of the inspector does not keep a thread alive; a timer does.
    const alive = setInterval(() => {}, 1000);
    await new Promise<void>((resolve, reject) =>
      session.post('Runtime.evaluate', { expression }, (error) => (error ? reject(error) : resolve())),
    ).finally(() => clearInterval(alive));
    session.disconnect();
  } catch {
    if (process.env[variable] !== undefined) return;
    warn(
      `onnxruntime-node may report usage to Microsoft: a worker thread cannot switch that off here. ` +
        `Start the program with ${variable}=1.`,
    );
  }
}
