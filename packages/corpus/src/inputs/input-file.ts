/** A file of the corpus that is open for reading, and how it is told from another, or from itself after a change. */
import { constants, type Stats } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { SentvecError } from '@sentvec/core';
import { guardIo } from '@sentvec/platform/node';
import * as v from 'valibot';
import { jsonSchemas } from '../json-file.ts';

/** What the file system says of a file, by which a change is noticed. JSON. */
export interface FileState {
  /** Size. 0 for streams. */
  readonly bytes: number;
  /** Time of the last change of its content, in milliseconds. 0 for streams. */
  readonly modified: number;
  /** Time of the last change of its content, name or rights, in milliseconds. Nobody can set it back. 0 for streams. */
  readonly changed: number;
  /** Its number in the file system. 0 for streams. */
  readonly inode: number;
}

/** The entries of {@link FileState} in a schema. */
export const fileStateEntries: { readonly [Name in keyof FileState]: v.GenericSchema<number> } = {
  bytes: jsonSchemas.count,
  modified: v.number(),
  changed: v.number(),
  inode: v.number(),
};

/** What a file system says of a file. */
export function fileStateOf({ size, mtimeMs, ctimeMs, ino }: Stats): FileState {
  return { bytes: size, modified: mtimeMs, changed: ctimeMs, inode: ino };
}

/**
 * Whether a file is what it was. `unknown`: size and time say so, but it has another number or was touched since; on
 * some network file systems that means nothing, so only the content can tell.
 */
export function compareFileStates(before: FileState, now: FileState): 'same' | 'changed' | 'unknown' {
  if (before.bytes !== now.bytes || !isSameTime(before.modified, now.modified)) return 'changed';
  return before.inode === now.inode && before.changed === now.changed ? 'same' : 'unknown';
}

/** Some file systems count whole seconds: the same file may have another fraction of a second on another machine. */
function isSameTime(one: number, other: number): boolean {
  if (Math.floor(one) === Math.floor(other)) return true;
  return (one % 1000 === 0 || other % 1000 === 0) && Math.floor(one / 1000) === Math.floor(other / 1000);
}

/** The error of a file that is no longer what it was when the run was prepared or planned. */
export function changedInputError(file: string): SentvecError {
  const remedy = 'Once it stays as it is, `resume` embeds the rows that differ.';
  return new SentvecError('invalid-corpus', `${file} has changed while its run was going on. ${remedy}`, { file });
}

/** Opening does not wait for the other end of a pipe. Windows has no such flag. */
const openFlags = constants.O_RDONLY | (process.platform === 'win32' ? 0 : constants.O_NONBLOCK);

/** Bytes that are read at once. */
const blockBytes = 1 << 20;

/** A regular file that is open for reading. */
export class InputFile {
  readonly #name: string;
  readonly path: string;
  readonly #handle: FileHandle;
  /** What it was when it was opened, or before. */
  readonly state: FileState;

  private constructor(name: string, path: string, handle: FileHandle, state: FileState) {
    this.#name = name;
    this.path = path;
    this.#handle = handle;
    this.state = state;
  }

  /**
   * Opens a file. A pipe or a device that has taken its place is not waited for.
   *
   * @param name as the user named it, for messages
   * @param state what the file was before; it must be that still
   * @throws SentvecError `invalid-corpus` when it has changed or is not a file, `io-failed`
   */
  static async open(name: string, path: string, state?: FileState): Promise<InputFile> {
    const handle = await guardIo('Reading', path, () => open(path, openFlags));
    try {
      const stats = await guardIo('Reading', path, () => handle.stat());
      if (!stats.isFile()) throw notFileError(name);
      const file = new InputFile(name, path, handle, state ?? fileStateOf(stats));
      file.#compare(stats);
      return file;
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** @throws SentvecError `invalid-corpus` when the file has changed since it was opened, `io-failed` */
  async check(): Promise<void> {
    this.#compare(await guardIo('Reading', this.path, () => this.#handle.stat()));
  }

  /**
   * The bytes from `start` to `end`. @throws SentvecError `invalid-corpus` when the file has become shorter,
   * `io-failed`
   */
  async read(start: number, end: number): Promise<Buffer> {
    const bytes = Buffer.allocUnsafe(end - start);
    let filled = 0;
    for await (const block of this.blocks(start, end)) {
      block.copy(bytes, filled);
      filled += block.byteLength;
    }
    return bytes;
  }

  /**
   * The bytes from `start` to `end`, in blocks of 1 MiB. A block is overwritten by the next one.
   *
   * @throws SentvecError `invalid-corpus` when the file has become shorter, `io-failed`
   */
  async *blocks(start: number, end: number): AsyncGenerator<Buffer, void> {
    const buffer = Buffer.allocUnsafe(Math.min(blockBytes, Math.max(end - start, 1)));
    for (let position = start; position < end;) {
      const length = Math.min(buffer.byteLength, end - position);
      const { bytesRead } = await guardIo('Reading', this.path, () => this.#handle.read(buffer, 0, length, position));
      if (bytesRead === 0) throw changedInputError(this.#name);
      yield buffer.subarray(0, bytesRead);
      position += bytesRead;
    }
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }

  #compare(stats: Stats): void {
    if (compareFileStates(this.state, fileStateOf(stats)) === 'changed') throw changedInputError(this.#name);
  }
}

function notFileError(name: string): SentvecError {
  const message = `${name} is no longer a regular file. Name a file that stays as it is, or pipe it in as -.`;
  return new SentvecError('invalid-corpus', message, { file: name });
}
