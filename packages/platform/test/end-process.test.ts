import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const entry = import.meta.resolve('@sentvec/platform/node');

function run(program: string): { status: number | null; signal: string | null } {
  const code = `import { endProcess } from '${entry}'; ${program}`;
  return spawnSync(process.execPath, ['--input-type=module', '-e', code]);
}

it('ends a process with its code, also while a file is read', () => {
  expect(run('setInterval(() => {}, 1000); await endProcess(3);')).toMatchObject({ status: 3 });
  const reading = `import { readFile } from 'node:fs/promises'; void readFile('/proc/self/maps'); await endProcess(4);`;
  expect(run(reading)).toMatchObject({ status: 4 });
});

it('kills a process that waits for a FIFO, which process.exit would wait for, too', () => {
  const directory = mkdtempSync(join(tmpdir(), 'sentvec-fifo-'));
  execFileSync('mkfifo', [join(directory, 'fifo')]);
  const hanging = `import { open } from 'node:fs/promises'; void open('${directory}/fifo'); await endProcess(5);`;
  expect(run(hanging)).toMatchObject({ status: null, signal: 'SIGKILL' });
  rmSync(directory, { recursive: true });
});
