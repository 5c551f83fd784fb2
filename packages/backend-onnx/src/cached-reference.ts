// The values that the slow reference computed from a model's weights, in the cache: it takes half a second for 90 MB.
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { ModelFiles, TokenBatch, TokenEmbeddings } from '@sentvec/core';
import { cacheDirectory } from '@sentvec/core/node';
import { canonicalJson, sha256 } from '@sentvec/platform';
import { makeFolder, writeFileAtomically } from '@sentvec/platform/node';
import { recordingKey } from './recorded-model.ts';

type Reference = TokenEmbeddings | { readonly reason: string };

/** Weights that are larger take longer to hash than a short reference to compute. */
const maxHashedBytes = 2 ** 28;

/**
 * The reference of a batch: from the cache when the same code computed it from the same weights, by the hash of
 * their content, else computed and stored.
 * @param caches the folder for all caches; default `cacheDirectory()`
 */
export async function cachedReference(
  files: ModelFiles,
  batch: TokenBatch,
  compute: () => Promise<Reference>,
  caches: string = cacheDirectory(),
): Promise<Reference> {
  if (!(await areHashed(files))) return compute();
  const { rows, cols, ids, mask, typeIds = [] } = batch;
  const asked = canonicalJson([rows, cols, [...ids], [...mask], [...typeIds]]);
  const key = await sha256(`${await recordingKey(files, false)} ${asked}`);
  const path = join(caches, 'references', key.slice(0, 32));
  const stored = await readFile(path).then(decode, () => undefined);
  if (stored !== undefined) return stored;
  const reference = await compute();
  if (!('reason' in reference)) {
    const bytes = await encode(reference);
    // Without it, it is computed again the next time.
    await makeFolder(dirname(path))
      .then(() => writeFileAtomically(path, bytes))
      .catch(() => {});
  }
  return reference;
}

/** Begins to hash the weights, which the fingerprint and {@link cachedReference} wait for. */
export async function hashEarly(files: ModelFiles): Promise<void> {
  if (await areHashed(files)) await files.sha256!('model.safetensors');
}

async function areHashed(files: ModelFiles): Promise<boolean> {
  if (files.directory === undefined || files.sha256 === undefined || files.size === undefined) return false;
  const isThere = (await files.list()).includes('model.safetensors');
  return isThere && (await files.size('model.safetensors')) <= maxHashedBytes;
}

/** A line with a hash and the shape, then the numbers. */
async function encode({ data, rows, cols }: TokenEmbeddings): Promise<Buffer> {
  const numbers = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  const head = Buffer.from(`${await sha256(numbers)} ${rows} ${cols}`.padEnd(headBytes));
  return Buffer.concat([head, numbers]);
}

/** `undefined` for bytes that were not written by {@link encode}. */
async function decode(bytes: Buffer): Promise<TokenEmbeddings | undefined> {
  const [hash, rows = 0, cols = 0] = bytes.toString('latin1', 0, headBytes).trim().split(' ');
  const numbers = new Uint8Array(bytes.subarray(headBytes));
  const shape = { rows: Number(rows), cols: Number(cols) };
  if (numbers.length !== shape.rows * shape.cols * 4 || (await sha256(numbers)) !== hash) return undefined;
  return { data: new Float32Array(numbers.buffer), ...shape };
}

/** A multiple of four. */
const headBytes = 96;
