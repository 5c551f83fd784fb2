import { once } from 'node:events';
import { warn } from '@sentvec/platform';
import { expect, test, vi } from 'vitest';

test('in Node a warning is an event of the process, of a type that a program can silence', async () => {
  const warning = once(process, 'warning');
  warn('There is no GPU. Going on with the CPU.');
  expect((await warning)[0]).toMatchObject({
    name: 'SentvecWarning',
    message: 'There is no GPU. Going on with the CPU.',
  });
});

test('where there is no process, a warning goes to the console', () => {
  const console = vi.spyOn(globalThis.console, 'warn').mockImplementation(() => {});
  vi.stubGlobal('process', undefined);
  try {
    warn('The cache is full.');
  } finally {
    vi.unstubAllGlobals();
  }
  expect(console.mock.calls).toEqual([['The cache is full.']]);
  console.mockRestore();
});
