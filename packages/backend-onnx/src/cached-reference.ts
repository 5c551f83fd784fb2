// Caches the reference values of the self-check. Without the cache, computing them takes half a second for 90 MB of
// weights.
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { ModelFiles, TokenBatch, TokenEmbeddings } from '@sentvec/core';
import { cacheDirectory } from '@sentvec/core/node';
import { canonicalJson, sha256 } from '@sentvec/platform';
import { makeFolder, writeFileAtomically } from '@sentvec/platform/node';
import { recordingKey } from './recorded-model.ts';

type Reference = TokenEmbeddings | { readonly reason: string };

/**
 * The maximum size of weights in bytes for which the cache is used. Hashing larger weights takes longer than computing
 * a short reference.
 */
const maxHashedBytes = 2 ** 28;

/**
 * The reference values of a batch, from the cache or by calling `compute`. The key of the cache contains the hashes of
 * the weights and of the code.
 * @param caches the folder of all caches (default: `cacheDirectory()`)
 */
export async function cachedReference(
  files: ModelFiles,
  batch: TokenBatch,
  compute: () => Promise<Reference>,
  caches: string = cacheDirectory(),
): Promise<Reference> {
  if (!(await canBeCached(files))) return compute();
  const { rows, cols, ids, mask, typeIds = [] } = batch;
  const batchKey = canonicalJson([rows, cols, [...ids], [...mask], [...typeIds]]);
  const key = await sha256(`${await recordingKey(files, false)} ${batchKey}`);
  const path = join(caches, 'references', key.slice(0, 32));
  const stored = await readFile(path).then(decode, () => undefined);
  if (stored !== undefined) return stored;
  const reference = await compute();
  if (!('reason' in reference)) {
    const bytes = await encode(reference);
    // If the values cannot be stored, they are computed again next time.
    await makeFolder(dirname(path))
      .then(() => writeFileAtomically(path, bytes))
      .catch(() => {});
  }
  return reference;
}

/** Starts hashing the weights early, because the fingerprint and {@link cachedReference} need the hash. */
export async function hashEarly(files: ModelFiles): Promise<void> {
  if (await canBeCached(files)) await files.sha256!('model.safetensors');
}

async function canBeCached(files: ModelFiles): Promise<boolean> {
  if (files.directory === undefined || files.sha256 === undefined || files.size === undefined) return false;
  const hasWeights = (await files.list()).includes('model.safetensors');
  return hasWeights && (await files.size('model.safetensors')) <= maxHashedBytes;
}

/** A header with a hash and the shape, followed by the numbers. */
async function encode({ data, rows, cols }: TokenEmbeddings): Promise<Buffer> {
  const numbers = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  const head = Buffer.from(`${await sha256(numbers)} ${rows} ${cols}`.padEnd(headBytes));
  return Buffer.concat([head, numbers]);
}

/** Decodes the result of {@link encode}; `undefined` for damaged or other bytes. */
async function decode(bytes: Buffer): Promise<TokenEmbeddings | undefined> {
  const [hash, rows = 0, cols = 0] = bytes.toString('latin1', 0, headBytes).trim().split(' ');
  const numbers = new Uint8Array(bytes.subarray(headBytes));
  const shape = { rows: Number(rows), cols: Number(cols) };
  if (numbers.length !== shape.rows * shape.cols * 4 || (await sha256(numbers)) !== hash) return undefined;
  return { data: new Float32Array(numbers.buffer), ...shape };
}

/** The size of the header in bytes: a multiple of four, so that the numbers are aligned. */
const headBytes = 96;
