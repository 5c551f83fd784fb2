import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const started = new Set();
const program = fileURLToPath(new URL('worker.mjs', import.meta.url));

/**
 * Starts a worker in a process of its own, and waits until it serves.
 *
 * @param mounted `[folder, point]`: the worker alone sees the folder at that point
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
    ended.then(() => reject(new Error(`A worker ended:\n${log.join('\n')}`)), reject);
  });
  return { pid: worker.pid, kill: (signal) => worker.kill(signal), ended };
}

/** Ends all workers at once, also those that do not serve yet. */
export function killWorkers() {
  for (const worker of started) worker.kill('SIGKILL');
}
