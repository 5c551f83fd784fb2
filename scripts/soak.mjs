// A program that embeds for a long time, whose memory must not grow and which must end by itself: bench/src/soak.ts.
// `npm run soak -- --help` names its options.
import { spawn } from 'node:child_process';
import { pnpm, root } from './pnpm.mjs';
import { setUp } from './setup.mjs';

/** How long the process may take to end once its work is done: it has nothing left to do. */
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
    console.error(`The process did not end by itself within ${longestEnd / 1000} s.`);
    child.kill('SIGKILL');
  }, longestEnd);
});
child.on('exit', (code) => {
  clearTimeout(timer);
  if (done !== undefined && code === 0)
    console.log(`ended by itself after ${(performance.now() - done).toFixed(0)} ms`);
  process.exitCode = code ?? 1;
});
