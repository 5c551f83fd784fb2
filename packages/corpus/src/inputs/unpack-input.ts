/** Makes inputs readable from any position: compressed files and streams are copied first. */
import { createReadStream } from 'node:fs';
import { addAbortSignal, pipeline, Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { SentvecError, throwIfAborted } from '@sentvec/core';
import { isStorageUri, locateFile } from '@sentvec/storage';
import { createTemporaryFile, guardIo, ioError, makeFolder } from '@sentvec/platform/node';
import type { FoundInput } from './find-inputs.ts';
import { openInput, type FileState } from './input-file.ts';
import { isGzip } from './input-format.ts';
import { locationIn } from '../location.ts';

/** Where {@link unpackInput} reads standard input, and where it puts copies. */
export interface UnpackOptions {
  /** Folder for the copies. */
  readonly folder: string;
  /** Folder of the same file system for unfinished copies. */
  readonly temporary: string;
  readonly standardInput: Readable;
  readonly signal?: AbortSignal | undefined;
  /** Called with the bytes unpacked so far. */
  readonly onProgress?: ((bytes: number) => void) | undefined;
}

/**
 * The path at which an input can be read from any position: its own, or that of a copy when it is compressed with gzip
 * or can be read only once. Constant memory.
 *
 * @throws SentvecError `invalid-corpus` for a broken gzip, `io-failed`, `aborted`
 */
export async function unpackInput(
  input: FoundInput,
  index: number,
  options: UnpackOptions,
): Promise<{ readonly path: string; readonly state: FileState }> {
  if (input.kind === 'file' && !(await isGzipFile(input))) return { path: input.path, state: input };
  const isStored = isStorageUri(options.folder);
  if (!isStored)
    await guardIo('Making the output folder', options.folder, async () => {
      await makeFolder(options.folder);
      await makeFolder(options.temporary);
    });
  const path = locationIn(options.folder, String(index).padStart(5, '0'));
  await (isStored ? copyToStore(input, path, options) : copyUnpacked(input, path, options));
  const copy = await openInput(input.name, path);
  await copy.close();
  return { path, state: copy.state };
}

async function isGzipFile(input: FoundInput): Promise<boolean> {
  const file = await openInput(input.name, input.path, { state: input });
  try {
    const head = await file.read(0, Math.min(2, input.bytes));
    if (isGzip(head)) return true;
    // A file may still be called .gz after it was decompressed. It is damaged if it has half of the magic number, or is
    // too short.
    const isDamaged = head[0] === 0x1f || head[1] === 0x8b || input.bytes < leastGzipBytes;
    if (isDamaged && /\.gz$/i.test(input.name)) throw damagedGzipError(input.name);
    return false;
  } finally {
    await file.close();
  }
}

/** Ten bytes of header, two of an empty block, eight of trailer. */
const leastGzipBytes = 20;

function damagedGzipError(file: string): SentvecError {
  const message = `${file} is a broken gzip file: its beginning is damaged or missing. Fetch or compress it again.`;
  return new SentvecError('invalid-corpus', message, { file });
}

async function copyUnpacked(input: FoundInput, path: string, options: UnpackOptions): Promise<void> {
  const stream = input.name === '-' ? options.standardInput : streamFile(input, options.signal);
  const file = await createTemporaryFile(path, { temporaryFolder: options.temporary });
  let total = 0;
  try {
    for await (const block of await unpackedBlocks(stream, options.signal)) {
      await file.write(block);
      total += block.byteLength;
      options.onProgress?.(total);
    }
    await file.commit();
  } catch (error) {
    await file.abort();
    throwIfAborted(options.signal);
    throw unpackError(error, input.name);
  } finally {
    stream.destroy();
  }
}

/** The copy of an input in the store of the output, written in parts. */
async function copyToStore(input: FoundInput, path: string, options: UnpackOptions): Promise<void> {
  const { signal, onProgress } = options;
  const stream = input.name === '-' ? options.standardInput : streamFile(input, signal);
  const { storage, key } = locateFile(path);
  let total = 0;
  async function* blocks(): AsyncGenerator<Buffer, void> {
    for await (const block of await unpackedBlocks(stream, signal)) {
      yield block;
      total += block.byteLength;
      onProgress?.(total);
    }
  }
  try {
    // A later commit finds the run by this file, if the run dies while the parts of the copy are being uploaded.
    await storage.write(`${key}.begun`, new Uint8Array(0), { signal });
    await storage.write(key, blocks(), { signal });
  } catch (error) {
    throwIfAborted(signal);
    throw unpackError(error, input.name);
  } finally {
    stream.destroy();
  }
}

/** The bytes of a file of this machine or of a store, from its beginning to its end. */
export function streamFile({ path, version }: Pick<FoundInput, 'path' | 'version'>, signal?: AbortSignal): Readable {
  if (!isStorageUri(path)) return createReadStream(path);
  const { storage, key } = locateFile(path);
  return Readable.from(storage.stream(key, { version, signal }), { objectMode: false });
}

/** The bytes of a stream, decompressed when they are gzip. */
export async function unpackedBlocks(stream: Readable, signal?: AbortSignal): Promise<AsyncIterable<Buffer>> {
  // The first byte may never come. Reading begins at once, so that an error of the stream is not lost.
  if (signal) addAbortSignal(signal, stream);
  const { first, all } = await peek(stream, 2);
  return isGzip(first) ? gunzip(all) : all;
}

/**
 * The content of a gzip file. Zeros may follow each of its members, as tapes and some writers pad with them: Node stops
 * at the first zero and ignores what comes after it, which may be more members.
 */
async function* gunzip(compressed: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void> {
  const blocks = compressed[Symbol.asyncIterator]();
  const member = createGunzip();
  /** What the decompressor has been given and has not taken yet, and where in the file that ends. */
  let pending: { readonly block: Buffer; readonly end: number }[] = [];
  async function* feed(): AsyncGenerator<Buffer, void> {
    for (let next = await blocks.next(); next.done !== true; next = await blocks.next()) {
      const end = (pending.at(-1)?.end ?? member.bytesWritten) + next.value.length;
      pending = [...pending.filter((each) => each.end > member.bytesWritten), { block: next.value, end }];
      yield next.value;
    }
  }
  const source = feed();
  try {
    yield* pipeline(Readable.from(source, { objectMode: false }), member, () => {});
    await source.return();
    const end = pending.at(-1)?.end ?? 0;
    const given = Buffer.concat(pending.map(({ block }) => block));
    async function* rest(): AsyncGenerator<Buffer, void> {
      yield given.subarray(given.length - Math.max(0, end - member.bytesWritten));
      for (let next = await blocks.next(); next.done !== true; next = await blocks.next()) yield next.value;
    }
    const { first, all } = await peek(withoutPadding(rest()), 2);
    if (first.length === 0) return;
    if (!isGzip(first))
      throw Object.assign(new Error('what follows its padding is not gzip'), { code: 'Z_DATA_ERROR' });
    yield* gunzip(all);
  } finally {
    member.destroy();
    await blocks.return?.();
  }
}

/** Leaves out the zeros at the beginning. */
async function* withoutPadding(blocks: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void> {
  let isPadding = true;
  for await (const block of blocks) {
    const start = isPadding ? block.findIndex((byte) => byte !== 0) : 0;
    if (start === -1) continue;
    isPadding = false;
    yield block.subarray(start);
  }
}

/** Reads at least this many bytes of a stream, unless it is shorter. @returns them, and all bytes of the stream */
export async function peek(
  stream: AsyncIterable<Buffer | string>,
  least: number,
): Promise<{ first: Buffer; all: AsyncIterable<Buffer> }> {
  const blocks = stream[Symbol.asyncIterator]();
  let first = Buffer.alloc(0);
  let next = await blocks.next();
  for (; next.done !== true; next = await blocks.next()) {
    first = Buffer.concat([first, asBuffer(next.value)]);
    if (first.length >= least) break;
  }
  async function* everything(): AsyncGenerator<Buffer, void> {
    try {
      if (first.length > 0) yield first;
      for (next = await blocks.next(); next.done !== true; next = await blocks.next()) yield asBuffer(next.value);
    } finally {
      await blocks.return?.();
    }
  }
  return { first, all: everything() };
}

function asBuffer(block: Buffer | string): Buffer {
  return typeof block === 'string' ? Buffer.from(block) : block;
}

/** The error of reading {@link unpackedBlocks}, with the name of the file. */
export function unpackError(error: unknown, file: string): unknown {
  if (error instanceof Error && 'code' in error && String(error.code).startsWith('Z_')) {
    const message = `${file} is a broken gzip file (${error.message}). Fetch or compress it again.`;
    return new SentvecError('invalid-corpus', message, { file }, { cause: error });
  }
  return ioError(error, 'Reading', file);
}
