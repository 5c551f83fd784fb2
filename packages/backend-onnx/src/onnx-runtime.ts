// Loads onnxruntime-node with its telemetry disabled. All packages load it with this module.
import { isMainThread } from 'node:worker_threads';
import { warn } from '@sentvec/platform';

/** The module `onnxruntime-node`. */
export type OnnxRuntime = typeof import('onnxruntime-node');

/**
 * Loads onnxruntime-node and disables its telemetry. The native library reports usage to Microsoft unless the
 * environment variable `ORT_DISABLE_TELEMETRY` is `1` when the first session opens; this function sets it. An existing
 * value is kept, so `ORT_DISABLE_TELEMETRY=0` allows telemetry. Threads that are started after this call, or after
 * {@link disableTelemetry}, may import onnxruntime-node directly.
 * @throws Error if the native library cannot be loaded
 */
export async function loadOnnxRuntime(): Promise<OnnxRuntime> {
  await disableTelemetry();
  return import('onnxruntime-node'); // oxlint-disable-line no-restricted-imports -- the one place that may
}

/** Disables telemetry without loading onnxruntime-node, for threads that will load it. */
export async function disableTelemetry(): Promise<void> {
  if (isMainThread) process.env[variable] ??= off;
  else await setInMainThread();
}

const variable = 'ORT_DISABLE_TELEMETRY';
const off = '1';

/**
 * Sets the variable in the main thread. `process.env` of a worker thread is a copy, but the native library reads the
 * environment of the process, which only the main thread can change. The inspector works even while the main thread is
 * busy.
 */
async function setInMainThread(): Promise<void> {
  const wanted = process.env[variable] ?? off;
  try {
    const { Session } = await import('node:inspector');
    const session = new Session();
    session.connectToMainThread();
    const expression = `process.env.${variable} ??= ${JSON.stringify(wanted)}`;
    // Waiting for the inspector does not keep the thread alive; a timer does.
    const alive = setInterval(() => {}, 1000);
    await new Promise<void>((resolve, reject) =>
      session.post('Runtime.evaluate', { expression }, (error) => (error ? reject(error) : resolve())),
    ).finally(() => clearInterval(alive));
    session.disconnect();
  } catch {
    if (process.env[variable] !== undefined) return;
    warn(
      `onnxruntime-node may report usage to Microsoft, because this worker thread cannot disable its telemetry. ` +
        `Start the program with ${variable}=1.`,
    );
  }
}
