import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SentvecError } from '@sentvec/platform';
import { isSystemError, startThread, type Thread, type ThreadOptions } from '@sentvec/platform/node';
import { afterEach, describe, expect, test } from 'vitest';

/** What `scripted-thread.mjs` understands. */
interface Protocol {
  readonly data: {
    readonly name?: string;
    readonly serial?: boolean;
    readonly refuse?: boolean;
    readonly exit?: boolean;
    readonly disposedFile?: string;
  };
  readonly ready: { readonly flags: readonly string[]; readonly greeting: string };
  readonly calls: {
    add(numbers: { left: number; right: number }): number;
    refuse(nothing: undefined): void;
    double(numbers: Float32Array<ArrayBuffer>): Float32Array<ArrayBuffer>;
    /** @returns how many calls of `wait` have started */
    wait(milliseconds: number): number;
    spin(nothing: undefined): void;
    fail(how: string): void;
    askProgram(path: string): string;
  };
  readonly programCalls: { read(path: string): string };
}

const file = new URL('./scripted-thread.mjs', import.meta.url);
const started: Thread<Protocol>[] = [];

async function start(
  data: Protocol['data'] = {},
  options: Partial<ThreadOptions<Protocol>> = {},
): Promise<Thread<Protocol>> {
  const thread = await startThread<Protocol>(file, { name: 'calculator', data, ...options });
  started.push(thread);
  return thread;
}

afterEach(async () => {
  await Promise.all(started.splice(0).map((thread) => thread.terminate()));
});

const disposed = { code: 'disposed', message: 'The calculator was disposed and can no longer be used.' };

test('a thread gets its data, says that it is ready, and answers', async () => {
  const thread = await start({ name: 'world' });
  expect(thread.ready.greeting).toBe('hello world');
  const sums = await Promise.all([1, 2, 3].map((left) => thread.call('add', { left, right: 10 })));
  expect(sums).toEqual([11, 12, 13]);
});

test('buffers move to the thread and back', async () => {
  const thread = await start();
  const numbers = Float32Array.of(1, 2, 3);
  const doubled = await thread.call('double', numbers, { transfer: [numbers.buffer] });
  expect([...doubled]).toEqual([2, 4, 6]);
  expect(numbers.byteLength).toBe(0);
});

test('a thread can ask the program, which answers or says why not', async () => {
  const read = (path: string): string => {
    if (path === 'missing') throw new SentvecError('model-not-found', 'It is not there.', { file: path });
    return `content of ${path}`;
  };
  const thread = await start({}, { handlers: { read } });
  expect(await thread.call('askProgram', 'config.json')).toBe('the program says: content of config.json');
  await expect(thread.call('askProgram', 'missing')).rejects.toMatchObject({
    code: 'model-not-found',
    details: { file: 'missing' },
  });
});

describe('an error', () => {
  test('of sentvec keeps code, details, causes and the stack of its thread', async () => {
    const thread = await start();
    const error: unknown = await thread.call('fail', 'sentvec').catch((failure: unknown) => failure);
    expect(SentvecError.is(error, 'invalid-text')).toBe(true);
    expect(error).toMatchObject({
      message: 'Row 3 is broken.',
      details: { row: 3 },
      stack: expect.stringContaining('scripted-thread.mjs') as string,
      cause: { name: 'TypeError', message: 'three is odd', cause: 'a cause that is not an error' },
    });
  });

  test('of the system keeps its number', async () => {
    const thread = await start();
    const error: unknown = await thread.call('fail', 'system').catch((failure: unknown) => failure);
    expect(isSystemError(error, 'ENOENT')).toBe(true);
  });

  test('that is not an error object keeps its text', async () => {
    const thread = await start();
    await expect(thread.call('fail', 'a string')).rejects.toMatchObject({ message: 'a string' });
  });

  test('of an argument or a result that cannot cross threads ends its call, and no other', async () => {
    const thread = await start();
    await expect(thread.call('add', { left: (() => {}) as never, right: 1 })).rejects.toMatchObject({
      name: 'DataCloneError',
    });
    await expect(thread.call('fail', 'uncloneable')).rejects.toMatchObject({ name: 'DataCloneError' });
    expect(await thread.call('add', { left: 1, right: 1 })).toBe(2);
  });
});

describe('a call that is aborted', () => {
  const reason = new Error('the reader left');

  test('stops in the thread, and fails with the reason of its caller', async () => {
    const thread = await start();
    const controller = new AbortController();
    const call = thread.call('wait', 3_600_000, { signal: controller.signal });
    setTimeout(() => controller.abort(reason), 10);
    await expect(call).rejects.toMatchObject({ name: 'AbortError', code: 'aborted', cause: reason });
    await expect(thread.call('wait', 3_600_000, { signal: controller.signal })).rejects.toMatchObject({
      code: 'aborted',
      cause: reason,
    });
  });

  test('while it waits for another call never starts', async () => {
    const thread = await start({ serial: true });
    const controller = new AbortController();
    const first = thread.call('wait', 50);
    const second = thread.call('wait', 1, { signal: controller.signal });
    const third = thread.call('wait', 1);
    controller.abort(reason);
    await expect(second).rejects.toMatchObject({ code: 'aborted', cause: reason });
    expect(await Promise.all([first, third])).toEqual([1, 2]);
  });
});

test('a call that throws at once does not hold up those that wait for it', async () => {
  const thread = await start({ serial: true });
  const refused = thread.call('refuse', undefined);
  const next = thread.call('add', { left: 1, right: 2 });
  await expect(refused).rejects.toMatchObject({ code: 'invalid-argument' });
  expect(await next).toBe(3);
});

test('calls run at the same time, or one after the other in a serial thread', async () => {
  const order = async (serial: boolean): Promise<number[]> => {
    const thread = await start({ serial });
    const ended: number[] = [];
    await Promise.all(
      [60, 1].map(async (milliseconds) => {
        await thread.call('wait', milliseconds);
        ended.push(milliseconds);
      }),
    );
    return ended;
  };
  expect(await order(false)).toEqual([1, 60]);
  expect(await order(true)).toEqual([60, 1]);
});

describe('the end of a thread', () => {
  test.each(['close', 'terminate'] as const)('by %s fails what is pending with disposed', async (way) => {
    const reasons: SentvecError[] = [];
    const thread = await start({}, { onEnd: (reason) => reasons.push(reason) });
    const pending = thread.call('wait', 3_600_000);
    const ending = thread[way]();
    await expect(pending).rejects.toMatchObject(disposed);
    await expect(thread.call('add', { left: 1, right: 1 })).rejects.toMatchObject(disposed);
    await Promise.all([ending, thread[way]()]);
    expect(reasons).toMatchObject([disposed]);
  });

  test('by close frees what the thread holds', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'sentvec-threads-'));
    const thread = await start({ disposedFile: join(folder, 'disposed') });
    await thread.close();
    expect(await readFile(join(folder, 'disposed'), 'utf8')).toBe('disposed');
    await rm(folder, { recursive: true });
  });

  test('by terminate does not wait for a computation that never ends', async () => {
    const thread = await start();
    const [spinning] = await Promise.allSettled([thread.call('spin', undefined), thread.terminate()]);
    expect(spinning).toMatchObject({ status: 'rejected', reason: disposed });
  });

  test('by an uncaught error fails what is pending with that error, and what to do', async () => {
    const reasons: SentvecError[] = [];
    const thread = await start({}, { remedy: 'Calculate again.', onEnd: (reason) => reasons.push(reason) });
    const shape = {
      code: 'backend-failed',
      message: 'The thread of the calculator failed: out of numbers. Calculate again.',
      cause: { name: 'RangeError' },
    };
    await expect(thread.call('fail', 'uncaught')).rejects.toMatchObject(shape);
    await expect(thread.call('add', { left: 1, right: 1 })).rejects.toMatchObject(shape);
    expect(reasons).toMatchObject([shape]);
  });

  test('before it is ready fails its start', async () => {
    await expect(start({ refuse: true })).rejects.toMatchObject({
      code: 'invalid-model',
      details: { file: 'model.bin' },
    });
    await expect(start({ exit: true })).rejects.toMatchObject({
      code: 'backend-failed',
      message: 'The thread of the calculator ended by itself. Load the model again.',
    });
    await expect(
      startThread(new URL('./missing.mjs', import.meta.url), { name: 'calculator', data: {} }),
    ).rejects.toMatchObject({ code: 'backend-failed', message: expect.stringContaining('missing.mjs') as string });
  });
});

/** Runs a program that has a `thread`, as `node --input-type=module --eval` does. */
function runProgram(body: string, ...flags: string[]): Promise<{ code: unknown; output: string }> {
  const program = `
    import { startThread } from ${JSON.stringify(import.meta.resolve('@sentvec/platform/node'))};
    const thread = await startThread(new URL(${JSON.stringify(file.href)}), { name: 'calculator', data: {} });
    ${body}
  `;
  return new Promise((resolve) => {
    execFile(process.execPath, [...flags, '--input-type=module', '--eval', program], (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : (error.code ?? error.signal), output: (stdout + stderr).trim() });
    });
  });
}

describe('a program', () => {
  test('may have flags that are not for its threads', async () => {
    expect(await runProgram(`console.log(thread.ready.flags.length);`)).toEqual({ code: 0, output: '0' });
  });

  test('that may not start threads gets an error that says so', async () => {
    const { allowedNodeEnvironmentFlags: known } = process;
    const permission = known.has('--permission') ? '--permission' : '--experimental-permission';
    const { code, output } = await runProgram('', '--no-warnings', permission, '--allow-fs-read=*');
    expect(code).toBe(1);
    expect(output).toMatch(/The thread of the calculator cannot be started: .*restricted.*\./u);
    expect(output).toContain("code: 'backend-failed'");
  });

  test('ends although a thread is open', async () => {
    expect(await runProgram(`await thread.call('wait', 1);`)).toEqual({ code: 0, output: '' });
  });

  test('does not end while a call is pending', async () => {
    expect(await runProgram(`void thread.call('wait', 100).then(console.log);`)).toEqual({ code: 0, output: '1' });
  });

  test.each(['close', 'terminate'])('goes on after %s, with calls pending or not, again and again', async (way) => {
    const body = `
      const call = thread.call('wait', 3_600_000).catch((error) => console.log(error.code));
      await thread.${way}();
      await call;
      await thread.${way}();
      console.log('the end');
    `;
    expect(await runProgram(body)).toEqual({ code: 0, output: 'disposed\nthe end' });
  });
});
