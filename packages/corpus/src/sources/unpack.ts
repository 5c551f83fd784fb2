import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { addAbortSignal, PassThrough, Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { SentvecError, throwIfAborted } from '@sentvec/core';
import { createPendingFile } from '../files/atomic-write.ts';
import { ioFailed } from '../files/io-error.ts';
import { firstBytes } from './first-bytes.ts';
import type { FoundInput } from './source.ts';

/** How {@link makeReadable} gets at the inputs and where it puts copies. */
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
 * The path at which an input can be read from any position: its own, or that of a copy when it is packed with gzip or
 * can be read only once. A copy from an earlier, interrupted run is used again. Constant memory.
 *
 * @throws SentvecError `invalid-corpus` for a broken gzip, `io-failed`, `aborted`
 */
export async function makeReadable(
  input: FoundInput,
  index: number,
  options: UnpackOptions,
): Promise<{ path: string; bytes: number }> {
  if (input.kind === 'file' && !isGzip(await firstBytes(input.path))) return { path: input.path, bytes: input.bytes };
  const path = join(options.folder, String(index).padStart(5, '0'));
  const earlier = await stat(path).catch(() => undefined);
  return { path, bytes: earlier?.size ?? (await copyUnpacked(input, path, options)) };
}

async function copyUnpacked(input: FoundInput, path: string, options: UnpackOptions): Promise<number> {
  const stream = input.name === '-' ? options.standardInput : createReadStream(input.path);
  const file = await createPendingFile(path, options.temporary);
  let total = 0;
  try {
    // The first byte may never come. Reading begins at once, so that the stream's error is heard.
    if (options.signal) addAbortSignal(options.signal, stream);
    const { first, all } = await peek(stream);
    const unpacker = isGzip(first) ? createGunzip() : new PassThrough();
    await pipeline(
      Readable.from(all, { objectMode: false }),
      unpacker,
      async (blocks: AsyncIterable<Buffer>) => {
        for await (const block of blocks) {
          await file.write(block);
          total += block.byteLength;
          options.onProgress?.(total);
        }
      },
      { signal: options.signal },
    );
    await file.publish();
  } catch (error) {
    await file.discard();
    throwIfAborted(options.signal);
    throw unpackError(error, input);
  } finally {
    stream.destroy();
  }
  return total;
}

/** The first bytes of a stream, and all of it, those included. */
async function peek(stream: Readable): Promise<{ first: Buffer; all: AsyncIterable<Buffer> }> {
  const blocks: AsyncIterator<Buffer | string> = stream[Symbol.asyncIterator]();
  let first = Buffer.alloc(0);
  let next = await blocks.next();
  for (; next.done !== true; next = await blocks.next()) {
    first = Buffer.concat([first, asBuffer(next.value)]);
    if (first.length >= 2) break;
  }
  async function* everything(): AsyncGenerator<Buffer, void> {
    if (first.length > 0) yield first;
    for (next = await blocks.next(); next.done !== true; next = await blocks.next()) yield asBuffer(next.value);
  }
  return { first, all: everything() };
}

function asBuffer(block: Buffer | string): Buffer {
  return typeof block === 'string' ? Buffer.from(block) : block;
}

function isGzip(bytes: Buffer): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b;
}

function unpackError(error: unknown, input: FoundInput): unknown {
  if (error instanceof Error && 'code' in error && String(error.code).startsWith('Z_')) {
    const message = `${input.name} is a broken gzip file (${error.message}). Fetch or pack it again.`;
    return new SentvecError('invalid-corpus', message, { file: input.name }, { cause: error });
  }
  return ioFailed(error, 'Reading', input.name);
}
