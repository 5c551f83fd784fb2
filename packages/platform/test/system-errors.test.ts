import { readFile } from 'node:fs/promises';
import { SentvecError } from '@sentvec/platform';
import { guardIo, ioError, isSystemError } from '@sentvec/platform/node';
import { expect, test } from 'vitest';

function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: it failed, write`), { code, syscall: 'write', errno: -1 });
}

test('a system error says what was tried, on which file, why it failed and what to do', () => {
  const cause = systemError('ENOSPC');
  expect(
    ioError(cause, 'Writing the checkpoint', '/data/run', 'The checkpoint before it is still there.'),
  ).toMatchObject({
    name: 'SentvecError',
    code: 'io-failed',
    message:
      'Writing the checkpoint failed: /data/run (ENOSPC). The disk is full. Free some space. The checkpoint before it is still there.',
    details: { file: '/data/run', errno: 'ENOSPC' },
    cause,
  });
});

test.each([
  ['EROFS', 'The file system is read-only.'],
  ['EACCES', 'Permission was denied.'],
  ['EMFILE', 'Raise the limit of this process (ulimit -n).'],
  ['ENOENT', 'Check the path.'],
  ['EWHATEVER', 'The system says: EWHATEVER: it failed, write.'],
])('%s has its remedy', (code, remedy) => {
  expect((ioError(systemError(code), 'Reading', 'f') as Error).message).toContain(remedy);
});

test('errors that do not come from the operating system pass as they are', async () => {
  const own = new SentvecError('invalid-corpus', 'Row 7 is broken.');
  const bug = new TypeError('x is undefined');
  expect(ioError(own, 'Reading', 'f')).toBe(own);
  await expect(guardIo('Reading', 'f', () => Promise.reject(bug))).rejects.toBe(bug);
  expect(isSystemError(Object.assign(new Error('no'), { code: 'ERR_INVALID_ARG_TYPE' }))).toBe(false);
});

test('a file that is not there is known by its code', async () => {
  const error: unknown = await guardIo('Reading', '/no/such/file', () => readFile('/no/such/file')).catch(
    (failure: unknown) => failure,
  );
  expect(error).toMatchObject({ code: 'io-failed', details: { file: '/no/such/file', errno: 'ENOENT' } });
  expect(isSystemError((error as Error).cause, 'ENOENT')).toBe(true);
});
