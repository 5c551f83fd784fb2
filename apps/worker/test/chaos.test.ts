import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

/** Runs one of the chaos scripts in a short form, and returns its output. */
async function check(script: string, ...flags: string[]): Promise<string> {
  const path = join(import.meta.dirname, '../chaos', script);
  return (await promisify(execFile)(process.execPath, [path, ...flags])).stdout;
}

const none = (...kinds: string[]) => kinds.flatMap((kind) => [`--${kind}`, '0']);
const others = none('full-disks', 'submits', 'wrong', 'damages');

it('workers that are killed and frozen, and whose Redis is killed, write the same bytes as an undisturbed run', async () => {
  const disasters = ['--kills', '2', '--redis-kills', '1', '--freezes', '1', ...none('preparations', 'pauses')];
  // This seed kills Redis first, when no recovery has to be awaited; then a kill, a freeze, a kill.
  const output = await check('chaos.mjs', '--seed', '27', '--rows', '6000', '--rate', '1/1', ...disasters, ...others);
  expect(output).toContain('2 workers killed, Redis killed 1 times, 1 workers frozen');
  expect(output).toContain('identical to those of the undisturbed run, byte for byte');
}, 300_000);

it('a run that is paused, submitted again, and joined by unsuitable workers writes the same bytes as an undisturbed run', async () => {
  const disasters = [...none('kills', 'redis-kills', 'freezes', 'damages'), '--seconds', '3'];
  const output = await check('chaos.mjs', '--seed', '1', '--rows', '4000', '--rate', '1/1', ...disasters);
  const [, commands] = /run paused for 3 s: (\d+) Redis commands a second/.exec(output) ?? [];
  // Each of the seven workers needs about ten commands. When workers polled the waiting jobs, there were thousands.
  expect(Number(commands)).toBeLessThan(300);
  expect(output).toMatch(/worker frozen during the preparation/);
  expect(output.match(/submitted twice/g)?.length).toBe(2);
  expect(output).toMatch(/disk filled for 3 s|the full disk is skipped: .* cannot mount/);
  expect(output).toMatch(/the worker with a changed workflow refused [1-9].*has changed since the run began/);
  expect(output).toContain('identical to those of the undisturbed run, byte for byte');
}, 300_000);

it('the memory of Redis and of the workers does not grow with the number of rows', async () => {
  // The memory of a worker still grows in this short run; the full million rows show that it is constant later.
  const output = await check('million.mjs', '--rows', '40000', '--step', '20000', '--growth', '1.6');
  expect(output).toMatch(/: 40000 rows in \d+ s, .*; Redis used at most \d+\.\d MB more than at the start/);
}, 300_000);
