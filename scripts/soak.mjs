// Runs bench/src/soak.ts, which embeds for a long time. Its memory must not grow, and it must exit by itself. `npm run
// soak -- --help` lists the options.
import { spawn } from 'node:child_process';
import { pnpm, root } from './pnpm.mjs';
import { setUp } from './setup.mjs';

/** Maximum time in milliseconds for the process to exit after its work is done. */
const longestEnd = 10_000;

process.env.ORT_DISABLE_TELEMETRY ??= '1';
setUp();
pnpm('exec', 'tsc', '-b', 'bench');
const child = spawn(process.execPath, ['--expose-gc', 'bench/dist/soak.js', ...process.argv.slice(2)], {
  cwd: root,
  stdio: ['inherit', 'pipe', 'inherit'],
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
let done;
let timer;
child.stdout.on('data', (chunk) => {
  process.stdout.write(chunk);
  if (!String(chunk).includes('all done')) return;
  done = performance.now();
  timer = setTimeout(() => {
    console.error(`The process did not exit by itself within ${longestEnd / 1000} s.`);
    child.kill('SIGKILL');
  }, longestEnd);
});
child.on('exit', (code) => {
  clearTimeout(timer);
  if (done !== undefined && code === 0)
    console.log(`exited by itself after ${(performance.now() - done).toFixed(0)} ms`);
  process.exitCode = code ?? 1;
});
