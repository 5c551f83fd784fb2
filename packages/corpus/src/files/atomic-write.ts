import { randomUUID } from 'node:crypto';
import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { ioFailed } from './io-error.ts';

/** A file that is not there until {@link PendingFile.publish}. */
export interface PendingFile {
  write(bytes: Uint8Array): Promise<void>;
  /** Flushes the file to the disk and gives it its name. */
  publish(): Promise<void>;
  /** Removes what was written. Does nothing after `publish`. */
  discard(): Promise<void>;
}

/**
 * Opens a file that appears at `path` whole or not at all: it is written under a name of its own in `temporary`, a
 * folder of the same file system, flushed to the disk and then renamed.
 *
 * @throws SentvecError `io-failed`
 */
export async function createPendingFile(path: string, temporary: string): Promise<PendingFile> {
  const draft = join(temporary, randomUUID());
  const handle = await guarded(path, () => open(draft, 'wx'));
  let closed = false;
  const close = async (): Promise<void> => {
    if (closed) return;
    closed = true;
    await handle.close();
  };
  const discard = async (): Promise<void> => {
    await close().catch(() => {});
    await rm(draft, { force: true });
  };
  const attempt = async (work: () => Promise<void>): Promise<void> => {
    try {
      await guarded(path, work);
    } catch (error) {
      await discard();
      throw error;
    }
  };
  return {
    write: (bytes) => attempt(() => writeFully(handle, bytes)),
    publish: () =>
      attempt(async () => {
        await handle.sync();
        await close();
        await rename(draft, path);
      }),
    discard,
  };
}

/** Writes a whole file so that it appears complete or not at all. @throws SentvecError `io-failed` */
export async function writeAtomically(path: string, bytes: Uint8Array | string, temporary: string): Promise<void> {
  const file = await createPendingFile(path, temporary);
  await file.write(typeof bytes === 'string' ? Buffer.from(bytes) : bytes);
  await file.publish();
}

/** Makes renames in a folder last through a loss of power. Does nothing where folders cannot be flushed (Windows). */
export async function flushFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r').catch(() => undefined);
  await handle?.sync().catch(() => {});
  await handle?.close();
}

async function writeFully(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let written = 0; written < bytes.byteLength;) {
    written += (await handle.write(bytes, written)).bytesWritten;
  }
}

async function guarded<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw ioFailed(error, 'Writing', path);
  }
}
