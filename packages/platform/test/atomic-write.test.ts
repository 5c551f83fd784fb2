import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { mkdir, mkdtemp, open, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  createTemporaryFile,
  mustBeFree,
  writeFileAtomically,
  writeFolderAtomically,
  type FolderFile,
} from '@sentvec/platform/node';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';

let root: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'sentvec-platform-'));
});

afterEach(() => rm(root, { recursive: true }));

/** The files of a folder with their contents, temporary ones included. */
async function contents(folder = root): Promise<Record<string, string>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return Object.fromEntries(
    await Promise.all(files.map(async (file) => [file.slice(folder.length + 1), await readFile(file, 'utf8')])),
  ) as Record<string, string>;
}

/** Records the calls that make a write last, in their order, while the work runs. */
async function recordCalls(work: () => Promise<void>): Promise<string[]> {
  const calls: string[] = [];
  const probe = await open(root);
  const prototype = Object.getPrototypeOf(probe) as { sync(): Promise<void>; stat(): Promise<fs.Stats> };
  await probe.close();
  const { rename } = fs.promises;
  const spy = vi.spyOn(prototype, 'sync');
  spy.mockImplementation(async function (this: typeof prototype) {
    calls.push((await this.stat()).isDirectory() ? 'sync folder' : 'sync file');
  });
  fs.promises.rename = async (from, to) => {
    calls.push('rename');
    await rename(from, to);
  };
  syncBuiltinESMExports();
  try {
    await work();
  } finally {
    spy.mockRestore();
    fs.promises.rename = rename;
    syncBuiltinESMExports();
  }
  return calls;
}

describe('a file', () => {
  test('is synced, then renamed, then its folder is synced', async () => {
    const file = join(root, 'state.json');
    expect(await recordCalls(() => writeFileAtomically(file, 'new'))).toEqual(['sync file', 'rename', 'sync folder']);
  });

  test('takes the place of an earlier one, whose readers keep what they read', async () => {
    const file = join(root, 'state.json');
    await writeFileAtomically(file, 'old');
    const reader = await open(file);
    await writeFileAtomically(file, new Uint8Array([110, 101, 119]));
    expect(await reader.readFile('utf8')).toBe('old');
    await reader.close();
    expect(await contents()).toEqual({ 'state.json': 'new' });
  });

  test('that is written piece by piece is not there before commit', async () => {
    const file = await createTemporaryFile(join(root, 'vectors.npy'));
    await file.write(Buffer.from('one '));
    await file.write(Buffer.from('two'));
    expect(Object.keys(await contents())).toEqual([expect.stringMatching(/^vectors\.npy\.[0-9a-f-]{36}\.tmp$/u)]);
    await file.commit();
    await file.abort(); // Changes nothing any more.
    expect(await contents()).toEqual({ 'vectors.npy': 'one two' });
  });

  test('that is aborted leaves nothing, and the earlier one as it was', async () => {
    await writeFileAtomically(join(root, 'f'), 'old');
    const file = await createTemporaryFile(join(root, 'f'));
    await file.write(Buffer.from('half of the ne'));
    await file.abort();
    expect(await contents()).toEqual({ f: 'old' });
  });

  test('may be written in a folder for temporary files', async () => {
    await mkdir(join(root, 'temporary'));
    const file = await createTemporaryFile(join(root, 'f'), { temporaryFolder: join(root, 'temporary') });
    expect((await readdir(join(root, 'temporary'))).length).toBe(1);
    await file.write(Buffer.from('x'));
    await file.commit();
    expect(await contents()).toEqual({ f: 'x' });
  });

  test('may have the longest name that the file system takes', async () => {
    const name = 'n'.repeat(255);
    await writeFileAtomically(join(root, name), 'x');
    expect(await contents()).toEqual({ [name]: 'x' });
  });

  test('whose folder is missing is an error that says so', async () => {
    const path = join(root, 'missing', 'f');
    await expect(writeFileAtomically(path, 'x', { doing: 'Writing the manifest' })).rejects.toMatchObject({
      code: 'io-failed',
      message: `Writing the manifest failed: ${path} (ENOENT). The file or its folder is not there. Check the path.`,
      details: { file: path, errno: 'ENOENT' },
    });
  });

  test('never takes the place of a socket, a device or a folder', async () => {
    const server = createServer().listen(join(root, 'socket'));
    await once(server, 'listening');
    await mkdir(join(root, 'folder'));
    for (const path of [join(root, 'socket'), join(root, 'folder'), '/dev/null']) {
      await expect(writeFileAtomically(path, 'x')).rejects.toMatchObject({
        code: 'invalid-output',
        message: `${path} is there and is not a file. Choose another path.`,
      });
    }
    server.close();
    expect(await contents()).toEqual({});
  });

  test('that the system cuts short leaves nothing, and the earlier one as it was', async () => {
    const path = join(root, 'f');
    await writeFileAtomically(path, 'old');
    const program = `
      import { writeFileAtomically } from ${JSON.stringify(import.meta.resolve('@sentvec/platform/node'))};
      process.on('SIGXFSZ', () => {});
      await writeFileAtomically(${JSON.stringify(path)}, 'x'.repeat(100_000)).catch((error) => {
        console.log(error.code, error.details.errno);
      });
    `;
    // A file may have 64 blocks of 512 bytes.
    const command = 'ulimit -f 64; exec "$0" "$@"';
    const args = ['-c', command, process.execPath, '--input-type=module', '--eval', program];
    expect(spawnSync('sh', args, { encoding: 'utf8' }).stdout).toBe('io-failed EFBIG\n');
    expect(await contents()).toEqual({ f: 'old' });
  });
});

describe('a folder', () => {
  const files: FolderFile[] = [
    ['config.json', '{}'],
    ['1_Pooling/config.json', () => '{"pooling":"mean"}'],
    ['model.bin', async () => [new Uint8Array([97, 98]), new Uint8Array([99])]],
  ];
  const written = { 'config.json': '{}', '1_Pooling/config.json': '{"pooling":"mean"}', 'model.bin': 'abc' };

  test('is whole before it has its name: all files and folders are synced, then it is renamed', async () => {
    const calls = await recordCalls(() => writeFolderAtomically(join(root, 'model'), files));
    expect(calls).toEqual([
      'sync file',
      'sync file',
      'sync file',
      'sync folder',
      'sync folder',
      'rename',
      'sync folder',
    ]);
    expect(await contents(join(root, 'model'))).toEqual(written);
    expect(await readdir(root)).toEqual(['model']);
  });

  test('replaces an empty one, also through a symbolic link', async () => {
    await mkdir(join(root, 'disk/model'), { recursive: true });
    await symlink(join(root, 'disk/model'), join(root, 'model'));
    await writeFolderAtomically(join(root, 'model'), files);
    expect(await contents(join(root, 'disk/model'))).toEqual(written);
  });

  test('does not touch one that is there', async () => {
    await mkdir(join(root, 'model'));
    await writeFile(join(root, 'model/notes.txt'), 'mine');
    await writeFile(join(root, 'file'), 'mine');
    for (const path of [join(root, 'model'), join(root, 'file')]) {
      const shape = {
        code: 'invalid-output',
        message: `${path} is there already. Choose another folder, or remove it first.`,
        details: { file: path },
      };
      await expect(writeFolderAtomically(path, files)).rejects.toMatchObject(shape);
      await expect(mustBeFree(path)).rejects.toMatchObject(shape);
    }
    expect(await contents()).toEqual({ 'model/notes.txt': 'mine', file: 'mine' });
    await mustBeFree(join(root, 'new'));
  });

  test('that another process made meanwhile is not changed', async () => {
    const slow: FolderFile = [
      'late.txt',
      async () => {
        await mkdir(join(root, 'model'));
        await writeFile(join(root, 'model/theirs.txt'), 'theirs');
        return 'late';
      },
    ];
    await expect(writeFolderAtomically(join(root, 'model'), [slow])).rejects.toMatchObject({ code: 'invalid-output' });
    expect(await contents()).toEqual({ 'model/theirs.txt': 'theirs' });
  });

  test('with replace gets new versions of the given files, and keeps others', async () => {
    await mkdir(join(root, 'model'));
    await writeFile(join(root, 'model/config.json'), 'damaged');
    await writeFile(join(root, 'model/notes.txt'), 'mine');
    await writeFolderAtomically(join(root, 'model'), files, { replace: true });
    expect(await contents(join(root, 'model'))).toEqual({ ...written, 'notes.txt': 'mine' });
    expect(await readdir(root)).toEqual(['model']);
  });

  test('whose making fails leaves nothing', async () => {
    const broken = new Error('no weights');
    const failing: FolderFile[] = [...files, ['more.bin', () => Promise.reject(broken)]];
    await expect(writeFolderAtomically(join(root, 'model'), failing)).rejects.toBe(broken);
    const controller = new AbortController();
    const aborting: FolderFile[] = [['a', () => (controller.abort(), 'a')], ...files];
    await expect(
      writeFolderAtomically(join(root, 'model'), aborting, { signal: controller.signal }),
    ).rejects.toMatchObject({ code: 'aborted' });
    expect(await readdir(root)).toEqual([]);
  });

  test('whose path leads through a file is refused with the reason', async () => {
    await writeFile(join(root, 'file'), '');
    const path = join(root, 'file/model');
    await expect(writeFolderAtomically(path, files)).rejects.toMatchObject({
      code: 'io-failed',
      message: `Reading failed: ${path} (ENOTDIR). A part of the path is a file, not a folder. Choose another path.`,
    });
  });
});
