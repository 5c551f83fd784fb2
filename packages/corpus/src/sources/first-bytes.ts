import { open } from 'node:fs/promises';
import { ioFailed } from '../files/io-error.ts';

/** The first bytes of a file, 64 KiB at most. @throws SentvecError `io-failed` */
export async function firstBytes(path: string): Promise<Buffer> {
  try {
    const handle = await open(path, 'r');
    try {
      const buffer = Buffer.alloc(65_536);
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, 0);
      return buffer.subarray(0, bytesRead);
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw ioFailed(error, 'Reading', path);
  }
}
