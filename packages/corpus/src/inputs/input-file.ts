/** A file of the corpus that is open for reading, and the checks that it is still the same file, unchanged. */
import { constants, type Stats } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { SentvecError } from '@sentvec/core';
import { guardIo } from '@sentvec/platform/node';
import { isStorageUri, locateFile, type FileVersion, type StoredFile } from '@sentvec/storage';
import * as v from 'valibot';
import { jsonSchemas } from '../json-file.ts';

/** What the file system says of a file, by which a change is noticed. JSON. */
export interface FileState {
  /** Size. 0 for streams. */
  readonly bytes: number;
  /** Time of the last change of its content, in milliseconds. 0 for streams. */
  readonly modified: number;
  /** Time of the last change of its content, name or rights, in milliseconds. It cannot be set back. 0 for streams. */
  readonly changed: number;
  /** Its inode number in the file system. 0 for streams. */
  readonly inode: number;
  /** For a file in a store: its version, usually an ETag. Times and number are 0 then. */
  readonly version?: string | undefined;
}

/** The entries of {@link FileState} in a schema. */
export const fileStateEntries: {
  readonly [Name in keyof FileState]-?: v.GenericSchema<FileState[Name]>;
} = {
  bytes: jsonSchemas.count,
  modified: v.number(),
  changed: v.number(),
  inode: v.number(),
  version: v.optional(v.pipe(v.string(), v.maxLength(1024))),
};

/** What a store says of a file. */
export function storedState({ bytes, version }: FileVersion): FileState {
  return { bytes, modified: 0, changed: 0, inode: 0, version };
}

/** The fields of {@link FileState} alone, from an object that has others too. */
export function stateOf({ bytes, modified, changed, inode, version }: FileState): FileState {
  return { bytes, modified, changed, inode, ...(version !== undefined && { version }) };
}

/** What a file system says of a file. */
export function fileStateOf({ size, mtimeMs, ctimeMs, ino }: Stats): FileState {
  return { bytes: size, modified: mtimeMs, changed: ctimeMs, inode: ino };
}

/**
 * Whether a file is what it was. `unknown`: size and time say so, but it has another number or was touched since; on
 * some network file systems that means nothing, so only the content can tell.
 */
export function compareFileStates(before: FileState, now: FileState): 'same' | 'changed' | 'unknown' {
  if (before.version !== now.version) return 'changed';
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

/** Bytes of a local file that are read at once. */
const blockBytes = 1 << 20;

/** A file that is open for reading. Opened by {@link openInput}. */
export interface InputFile {
  /** Where it is: a path, or an address. */
  readonly path: string;
  /** What it was when it was opened, or before. */
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
  /** What the file was before; it must be that still. @default whatever it is */
  readonly state?: FileState | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Opens a file of this machine, or of a store. Does not block when a pipe or a device has taken the place of the file.
 *
 * @param name as the user named it, for messages
 * @throws SentvecError `invalid-corpus` when it has changed or is not a file, `io-failed`
 */
export async function openInput(name: string, path: string, options: OpenInputOptions = {}): Promise<InputFile> {
  return isStorageUri(path) ? StoredInput.open(name, path, options) : LocalInput.open(name, path, options.state);
}

/** A regular file of this machine. */
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

/** The most bytes of what was streamed last that a file of a store keeps: more than any chunk of several rows. */
const recentBytes = 16 << 20;

/** A file of a store. Each read asks for the version that was there when it was opened. */
class StoredInput implements InputFile {
  readonly #name: string;
  readonly path: string;
  readonly state: FileState;
  readonly #file: StoredFile;
  readonly #signal: AbortSignal | undefined;
  /** What was streamed last: after a file was split, its pieces are read. */
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

  /** All reads so far were of one version. */
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

/** The error of a file that is not there. */
export function missingFileError(file: string): SentvecError {
  return new SentvecError('invalid-corpus', `There is no file ${file}. Check the path.`, { file, missing: true });
}

function notFileError(name: string): SentvecError {
  const message = `${name} is no longer a regular file. Name a file that stays as it is, or pipe it in as -.`;
  return new SentvecError('invalid-corpus', message, { file: name });
}
