import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

/** Runs one of the long checks, in short. */
async function check(script: string, ...flags: string[]): Promise<string> {
  const path = join(import.meta.dirname, '../chaos', script);
  return (await promisify(execFile)(process.execPath, [path, ...flags])).stdout;
}

it('a fleet that is killed and frozen, and whose Redis is killed, writes the bytes of an undisturbed run', async () => {
  const disasters = ['--kills', '2', '--redis-kills', '1', '--freezes', '1'];
  // This seed kills Redis first, so that nothing has to be waited for; then a kill, a freeze, a kill.
  const output = await check('chaos.mjs', '--seed', '27', '--rows', '6000', '--rate', '1/1', ...disasters);
  expect(output).toContain('2 workers killed, Redis killed 1 times, 1 workers frozen');
  expect(output).toContain('identical to those of the undisturbed run, byte for byte');
}, 300_000);

it('many rows take no more of Redis and of the workers than few', async () => {
  // A worker is still warming up here; the whole million shows that it is flat after that.
  const output = await check('million.mjs', '--rows', '40000', '--step', '20000', '--growth', '1.6');
  expect(output).toMatch(/40000 rows in \d+ s; Redis held at most \d+\.\d MB over its start/);
}, 300_000);
