import { open } from 'node:fs/promises';
import { SentvecError } from '@sentvec/core';
import { guardIo } from '@sentvec/platform/node';

/** Bytes that are read at once. */
const blockBytes = 1 << 20;

/**
 * The bytes from `start` to `end` of a file.
 *
 * @throws SentvecError `invalid-corpus` when the file has become shorter, `io-failed`
 */
export async function readByteRange(path: string, start: number, end: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(end - start);
  let filled = 0;
  for await (const block of byteBlocks(path, start, end)) {
    block.copy(bytes, filled);
    filled += block.byteLength;
  }
  return bytes;
}

/**
 * The bytes from `start` to `end` of a file, in blocks of 1 MiB. A block is overwritten by the next one.
 *
 * @throws SentvecError `invalid-corpus` when the file has become shorter, `io-failed`
 */
export async function* byteBlocks(path: string, start: number, end: number): AsyncGenerator<Buffer, void> {
  const handle = await guardIo('Reading', path, () => open(path, 'r'));
  try {
    const buffer = Buffer.allocUnsafe(Math.min(blockBytes, Math.max(end - start, 1)));
    for (let position = start; position < end;) {
      const { bytesRead } = await guardIo('Reading', path, () =>
        handle.read(buffer, 0, Math.min(buffer.byteLength, end - position), position),
      );
      if (bytesRead === 0) {
        const message = `${path} has become shorter while it was read. Start again with a file that stays as it is.`;
        throw new SentvecError('invalid-corpus', message, { file: path });
      }
      yield buffer.subarray(0, bytesRead);
      position += bytesRead;
    }
  } finally {
    await handle.close();
  }
}
