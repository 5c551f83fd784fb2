/** Detects the format of a file from its name and its first bytes, and rejects formats that cannot be read. */
import { extname } from 'node:path';
import { SentvecError } from '@sentvec/core';
import type { InputFormat } from '../request.ts';

const extensions: Readonly<Record<string, InputFormat>> = {
  '.jsonl': 'jsonl',
  '.ndjson': 'jsonl',
  '.txt': 'text',
  '.text': 'text',
  '.md': 'text',
  '.csv': 'csv',
  '.tsv': 'tsv',
  '.tab': 'tsv',
  '.parquet': 'parquet',
  '.pq': 'parquet',
};

/** Magic numbers of formats that sentvec does not read, with the remedy. */
const unreadable: readonly { readonly magic: readonly number[]; readonly what: string }[] = [
  { magic: [0x28, 0xb5, 0x2f, 0xfd], what: 'is compressed with zstd. Decompress it first' },
  { magic: [0x42, 0x5a, 0x68], what: 'is compressed with bzip2. Decompress it first' },
  { magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a], what: 'is compressed with xz. Decompress it first' },
  { magic: [0x50, 0x4b, 0x03, 0x04], what: 'is a zip archive. Unpack it first' },
  { magic: [0xff, 0xfe], what: 'is UTF-16. Convert it to UTF-8 first' },
  { magic: [0xfe, 0xff], what: 'is UTF-16. Convert it to UTF-8 first' },
];

/**
 * Detects the format from the file name (without `.gz`), or else from the first bytes: Parquet, JSON lines or plain
 * text.
 */
export function recogniseFormat(name: string, head: Buffer): InputFormat {
  const known = extensions[extname(name.replace(/\.gz$/i, '')).toLowerCase()];
  if (known) return known;
  if (isParquet(head)) return 'parquet';
  const text = head
    .toString('utf8')
    .replace(/^\uFEFF/, '')
    .trimStart();
  if (text.startsWith('[') && extname(name.replace(/\.gz$/i, '')) === '.json') {
    const message = `${name} is one JSON array. Write an object on each line instead, for example with: jq -c '.[]' ${name}`;
    throw new SentvecError('invalid-corpus', message, { file: name });
  }
  return text.startsWith('{') ? 'jsonl' : 'text';
}

/** Whether a file that begins with these bytes is Parquet. */
export function isParquet(head: Buffer): boolean {
  return head.subarray(0, 4).toString('latin1') === 'PAR1';
}

/** @throws SentvecError `invalid-corpus` for compressions and encodings that sentvec does not read */
export function refuseUnreadable(name: string, head: Buffer): void {
  const found = unreadable.find(({ magic }) => magic.every((byte, at) => head[at] === byte));
  if (found) throw new SentvecError('invalid-corpus', `${name} ${found.what}.`, { file: name });
}

/** Whether a file that begins with these bytes is gzip. */
export function isGzip(head: Buffer): boolean {
  return head[0] === 0x1f && head[1] === 0x8b;
}

/** The byte order mark of UTF-8. It is not part of a row. */
export const byteOrderMark: Buffer = Buffer.from([0xef, 0xbb, 0xbf]);
