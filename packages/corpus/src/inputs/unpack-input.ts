/** Copies compressed files and streams, so that all inputs can be read from any position. */
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

/** Options of {@link unpackInput}. */
export interface UnpackOptions {
  /** Folder for the copies. */
  readonly folder: string;
  /** Folder for unfinished copies, on the same file system as `folder`. */
  readonly temporary: string;
  readonly standardInput: Readable;
  readonly signal?: AbortSignal | undefined;
  /** Called with the number of bytes unpacked so far. */
  readonly onProgress?: ((bytes: number) => void) | undefined;
}

/**
 * Makes an input readable from any position. Returns its own path, or that of a copy if the input is gzip or a stream.
 * Needs constant memory.
 *
 * @throws SentvecError `invalid-corpus` for a broken gzip file; `io-failed`; `aborted`
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
    // A file named .gz without the magic number was probably decompressed before. But if it has one of the two magic
    // bytes, or is shorter than any gzip file, it is damaged.
    const isDamaged = head[0] === 0x1f || head[1] === 0x8b || input.bytes < leastGzipBytes;
    if (isDamaged && /\.gz$/i.test(input.name)) throw damagedGzipError(input.name);
    return false;
  } finally {
    await file.close();
  }
}

/** Size of the shortest gzip file: ten bytes of header, two of an empty block, eight of trailer. */
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

/** Copies an input into the store of the output, by a multipart upload. */
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
    // If this process dies during the upload, a later commit finds and removes the run by this file.
    await storage.write(`${key}.begun`, new Uint8Array(0), { signal });
    await storage.write(key, blocks(), { signal });
  } catch (error) {
    throwIfAborted(signal);
    throw unpackError(error, input.name);
  } finally {
    stream.destroy();
  }
}

/** Streams a local file or a file in a store. */
export function streamFile({ path, version }: Pick<FoundInput, 'path' | 'version'>, signal?: AbortSignal): Readable {
  if (!isStorageUri(path)) return createReadStream(path);
  const { storage, key } = locateFile(path);
  return Readable.from(storage.stream(key, { version, signal }), { objectMode: false });
}

/** The blocks of a stream, decompressed if it is gzip. */
export async function unpackedBlocks(stream: Readable, signal?: AbortSignal): Promise<AsyncIterable<Buffer>> {
  // Lets the signal abort a stream whose first byte never comes.
  if (signal) addAbortSignal(signal, stream);
  const { first, all } = await peek(stream, 2);
  return isGzip(first) ? gunzip(all) : all;
}

/**
 * Decompresses a gzip file with several members and zero padding between them, which tapes and some writers add. Node's
 * gunzip stops at the first zero and would ignore the members after it.
 */
async function* gunzip(compressed: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void> {
  const blocks = compressed[Symbol.asyncIterator]();
  const member = createGunzip();
  /** Blocks that were written to the decompressor but not consumed yet, and the file offset of their end. */
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
      throw Object.assign(new Error('the data after its padding is not gzip'), { code: 'Z_DATA_ERROR' });
    yield* gunzip(all);
  } finally {
    member.destroy();
    await blocks.return?.();
  }
}

/** Removes leading zeros. */
async function* withoutPadding(blocks: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void> {
  let isPadding = true;
  for await (const block of blocks) {
    const start = isPadding ? block.findIndex((byte) => byte !== 0) : 0;
    if (start === -1) continue;
    isPadding = false;
    yield block.subarray(start);
  }
}

/** Reads the first `bytes` bytes of a stream, or all if it is shorter. @returns them, and the whole stream */
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

/** Converts an error of {@link unpackedBlocks} to an error with the name of the file. */
export function unpackError(error: unknown, file: string): unknown {
  if (error instanceof Error && 'code' in error && String(error.code).startsWith('Z_')) {
    const message = `${file} is a broken gzip file (${error.message}). Fetch or compress it again.`;
    return new SentvecError('invalid-corpus', message, { file }, { cause: error });
  }
  return ioError(error, 'Reading', file);
}
