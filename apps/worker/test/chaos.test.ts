import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

/** Runs one of the long checks, in short. */
async function check(script: string, ...flags: string[]): Promise<string> {
  const path = join(import.meta.dirname, '../chaos', script);
  return (await promisify(execFile)(process.execPath, [path, ...flags])).stdout;
}

const none = (...kinds: string[]) => kinds.flatMap((kind) => [`--${kind}`, '0']);
const others = none('full-disks', 'submits', 'wrong', 'damages');

it('a fleet that is killed and frozen, and whose Redis is killed, writes the bytes of an undisturbed run', async () => {
  const disasters = ['--kills', '2', '--redis-kills', '1', '--freezes', '1', ...none('preparations', 'pauses')];
  // This seed kills Redis first, so that nothing has to be waited for; then a kill, a freeze, a kill.
  const output = await check('chaos.mjs', '--seed', '27', '--rows', '6000', '--rate', '1/1', ...disasters, ...others);
  expect(output).toContain('2 workers killed, Redis killed 1 times, 1 workers frozen');
  expect(output).toContain('identical to those of the undisturbed run, byte for byte');
}, 300_000);

it('a fleet that is paused, gets the same request again, and is joined by workers that cannot do the work writes the same bytes', async () => {
  const disasters = [...none('kills', 'redis-kills', 'freezes', 'damages'), '--seconds', '3'];
  const output = await check('chaos.mjs', '--seed', '1', '--rows', '4000', '--rate', '1/1', ...disasters);
  const [, commands] = /run paused for 3 s: (\d+) Redis commands a second/.exec(output) ?? [];
  // Each of the seven workers needs about ten. Looking at what waits took thousands.
  expect(Number(commands)).toBeLessThan(300);
  expect(output).toMatch(/worker frozen during the preparation/);
  expect(output.match(/submitted twice/g)?.length).toBe(2);
  expect(output).toMatch(/disk filled for 3 s|no disk is filled: .* cannot mount/);
  expect(output).toMatch(/the worker with a changed workflow refused [1-9].*has changed since the run began/);
  expect(output).toContain('identical to those of the undisturbed run, byte for byte');
}, 300_000);

it('Redis and the workers need no more memory for many rows than for few', async () => {
  // A worker is still warming up here; the whole million shows that it is flat after that.
  const output = await check('million.mjs', '--rows', '40000', '--step', '20000', '--growth', '1.6');
  expect(output).toMatch(/40000 rows in \d+ s; Redis held at most \d+\.\d MB over its start/);
}, 300_000);
