import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const started = new Set();
const program = fileURLToPath(new URL('worker.mjs', import.meta.url));

/**
 * Starts a worker process, and waits until it accepts jobs.
 *
 * @param mounted `[folder, mountPoint]`: only the worker sees the folder at that mount point
 */
export async function startWorker(environment, mounted) {
  const node = [process.execPath, program];
  const mounting = ['unshare', '-m', 'sh', '-c', 'mount --bind "$1" "$2" && shift 2 && exec "$@"', 'sh'];
  const [command, ...more] = mounted ? [...mounting, ...mounted, ...node] : node;
  const worker = spawn(command, more, {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  started.add(worker);
  const log = [];
  const ended = once(worker, 'exit');
  await new Promise((resolve, reject) => {
    createInterface({ input: worker.stderr }).on('line', (line) => {
      log.push(line);
      if (log.length > 200) log.shift();
      if (line.includes('"serving"')) resolve();
    });
    ended.then(() => reject(new Error(`A worker exited:\n${log.join('\n')}`)), reject);
  });
  return { pid: worker.pid, kill: (signal) => worker.kill(signal), ended };
}

/** Kills all workers, including those that are still starting. */
export function killWorkers() {
  for (const worker of started) worker.kill('SIGKILL');
}
