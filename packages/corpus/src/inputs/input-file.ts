/** Reads files of a corpus, and checks that they do not change during a run. */
import { constants, type Stats } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { SentvecError } from '@sentvec/core';
import { guardIo } from '@sentvec/platform/node';
import { isStorageUri, locateFile, type FileVersion, type StoredFile } from '@sentvec/storage';
import * as v from 'valibot';
import { jsonSchemas } from '../json-file.ts';

/** Metadata of a file, by which changes are detected. JSON. */
export interface FileState {
  /** Size in bytes. 0 for streams. */
  readonly bytes: number;
  /** mtime, the time of the last change of the content, in milliseconds since 1970. 0 for streams. */
  readonly modified: number;
  /**
   * ctime, the time of the last change of content, name or rights, in milliseconds. Programs cannot set it. 0 for
   * streams.
   */
  readonly changed: number;
  /** Inode number. 0 for streams. */
  readonly inode: number;
  /** For a file in a store: its version, usually an ETag. Times and inode are 0 then. */
  readonly version?: string | undefined;
}

/** The valibot entries of {@link FileState}. */
export const fileStateEntries: {
  readonly [Name in keyof FileState]-?: v.GenericSchema<FileState[Name]>;
} = {
  bytes: jsonSchemas.count,
  modified: v.number(),
  changed: v.number(),
  inode: v.number(),
  version: v.optional(v.pipe(v.string(), v.maxLength(1024))),
};

/** The state of a file in a store. */
export function storedState({ bytes, version }: FileVersion): FileState {
  return { bytes, modified: 0, changed: 0, inode: 0, version };
}

/** Picks the fields of {@link FileState} from an object with more fields. */
export function stateOf({ bytes, modified, changed, inode, version }: FileState): FileState {
  return { bytes, modified, changed, inode, ...(version !== undefined && { version }) };
}

/** The state of a file in a file system. */
export function fileStateOf({ size, mtimeMs, ctimeMs, ino }: Stats): FileState {
  return { bytes: size, modified: mtimeMs, changed: ctimeMs, inode: ino };
}

/**
 * Compares two states of a file. `unknown`: size and mtime are the same, but inode or ctime differ. On some network
 * file systems these differ for the same file, so the content must be compared.
 */
export function compareFileStates(before: FileState, now: FileState): 'same' | 'changed' | 'unknown' {
  if (before.version !== now.version) return 'changed';
  if (before.bytes !== now.bytes || !isSameTime(before.modified, now.modified)) return 'changed';
  return before.inode === now.inode && before.changed === now.changed ? 'same' : 'unknown';
}

/** Compares whole seconds if one of the times has no fraction, because some file systems store only whole seconds. */
function isSameTime(one: number, other: number): boolean {
  if (Math.floor(one) === Math.floor(other)) return true;
  return (one % 1000 === 0 || other % 1000 === 0) && Math.floor(one / 1000) === Math.floor(other / 1000);
}

/** The error for a file that has changed since the run was prepared or planned. */
export function changedInputError(file: string): SentvecError {
  const remedy = 'When it no longer changes, `resume` embeds the rows that differ.';
  return new SentvecError('invalid-corpus', `${file} has changed during the run. ${remedy}`, { file });
}

/** O_NONBLOCK, so that opening a pipe does not wait for its writer. Windows has no such flag. */
const openFlags = constants.O_RDONLY | (process.platform === 'win32' ? 0 : constants.O_NONBLOCK);

/** Bytes per read of a local file. */
const blockBytes = 1 << 20;

/** A file that is open for reading. Opened by {@link openInput}. */
export interface InputFile {
  /** Path or URI. */
  readonly path: string;
  /** The expected state: that of the options, or the state at opening. */
  readonly state: FileState;

  /** @throws SentvecError `invalid-corpus` when the file has changed since it was opened, `io-failed` */
  check(): Promise<void>;

  /**
   * The bytes from `start` to `end`. @throws SentvecError `invalid-corpus` when the file has become shorter,
   * `io-failed`
   */
  read(start: number, end: number): Promise<Buffer>;

  /**
   * The bytes from `start` to `end`, in blocks. A block is overwritten by the next one.
   *
   * @throws SentvecError `invalid-corpus` when the file has become shorter, `io-failed`
   */
  blocks(start: number, end: number): AsyncGenerator<Buffer, void>;

  close(): Promise<void>;
}

/** Options of {@link openInput}. */
export interface OpenInputOptions {
  /** The state that the file must have. @default any state */
  readonly state?: FileState | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Opens a local file or a file in a store. Does not block if the path is a pipe or a device.
 *
 * @param name the name that the user gave, for error messages
 * @throws SentvecError `invalid-corpus` when the file has changed or is not a regular file; `io-failed`
 */
export async function openInput(name: string, path: string, options: OpenInputOptions = {}): Promise<InputFile> {
  return isStorageUri(path) ? StoredInput.open(name, path, options) : LocalInput.open(name, path, options.state);
}

/** A local regular file. */
class LocalInput implements InputFile {
  readonly #name: string;
  readonly path: string;
  readonly #handle: FileHandle;
  readonly state: FileState;

  private constructor(name: string, path: string, handle: FileHandle, state: FileState) {
    this.#name = name;
    this.path = path;
    this.#handle = handle;
    this.state = state;
  }

  static async open(name: string, path: string, state?: FileState): Promise<InputFile> {
    const handle = await guardIo('Reading', path, () => open(path, openFlags));
    try {
      const stats = await guardIo('Reading', path, () => handle.stat());
      if (!stats.isFile()) throw notFileError(name);
      const file = new LocalInput(name, path, handle, state ?? fileStateOf(stats));
      file.#compare(stats);
      return file;
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  async check(): Promise<void> {
    this.#compare(await guardIo('Reading', this.path, () => this.#handle.stat()));
  }

  read(start: number, end: number): Promise<Buffer> {
    return joinBlocks(this.blocks(start, end), end - start);
  }

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

/** A stored file keeps at most this many of the last streamed bytes: more than any chunk of several rows has. */
const recentBytes = 16 << 20;

/** A file in a store. All reads request the version that the file had when it was opened. */
class StoredInput implements InputFile {
  readonly #name: string;
  readonly path: string;
  readonly state: FileState;
  readonly #file: StoredFile;
  readonly #signal: AbortSignal | undefined;
  /** The last streamed blocks. A chunk is read right after it was split off, so its bytes are usually among them. */
  #recent: { readonly start: number; readonly bytes: Buffer }[] = [];

  private constructor(name: string, path: string, file: StoredFile, state: FileState, signal: AbortSignal | undefined) {
    this.#name = name;
    this.path = path;
    this.#file = file;
    this.state = state;
    this.#signal = signal;
  }

  static async open(name: string, path: string, { state, signal }: OpenInputOptions): Promise<InputFile> {
    const file = locateFile(path);
    if (state !== undefined) return new StoredInput(name, path, file, state, signal);
    const version = await file.storage.stat(file.key, { signal });
    if (version === undefined) throw missingFileError(name);
    return new StoredInput(name, path, file, storedState(version), signal);
  }

  /** Nothing to do: all reads request one version. */
  async check(): Promise<void> {}

  async read(start: number, end: number): Promise<Buffer> {
    const first = this.#recent[0];
    const last = this.#recent.at(-1);
    if (first && last && start >= first.start && end <= last.start + last.bytes.byteLength) {
      const parts = this.#recent.map((block) =>
        block.bytes.subarray(Math.max(0, start - block.start), Math.max(0, end - block.start)),
      );
      return Buffer.concat(parts, end - start);
    }
    return joinBlocks(this.#stream(start, end), end - start);
  }

  async *blocks(start: number, end: number): AsyncGenerator<Buffer, void> {
    this.#recent = [];
    let kept = 0;
    let position = start;
    for await (const bytes of this.#stream(start, end)) {
      this.#recent.push({ start: position, bytes });
      position += bytes.byteLength;
      kept += bytes.byteLength;
      while (kept - this.#recent[0]!.bytes.byteLength > recentBytes) kept -= this.#recent.shift()!.bytes.byteLength;
      yield bytes;
    }
  }

  async close(): Promise<void> {
    this.#recent = [];
  }

  async *#stream(start: number, end: number): AsyncGenerator<Buffer, void> {
    const { storage, key } = this.#file;
    try {
      for await (const block of storage.stream(key, { start, end, version: this.state.version, signal: this.#signal }))
        yield Buffer.from(block.buffer, block.byteOffset, block.byteLength);
    } catch (error) {
      const isOther = SentvecError.is(error, 'io-failed') && (error.details['changed'] || error.details.missing);
      throw isOther ? changedInputError(this.#name) : error;
    }
  }
}

async function joinBlocks(blocks: AsyncIterable<Buffer>, size: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(size);
  let filled = 0;
  for await (const block of blocks) {
    block.copy(bytes, filled);
    filled += block.byteLength;
  }
  return bytes;
}

/** The error for a file that does not exist. */
export function missingFileError(file: string): SentvecError {
  return new SentvecError('invalid-corpus', `There is no file ${file}. Check the path.`, { file, missing: true });
}

function notFileError(name: string): SentvecError {
  const message = `${name} is no longer a regular file. Name a regular file, or pipe the data in as -.`;
  return new SentvecError('invalid-corpus', message, { file: name });
}
