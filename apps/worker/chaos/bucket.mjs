import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startAz, startGs, startS3 } from '@sentvec/testing';
import { hashes } from './corpus.mjs';

const stores = { s3: startS3, gs: startGs, az: startAz };

/** URI schemes that `startStore` accepts. */
export const schemes = Object.keys(stores);

/** Starts a fake object store for a URI scheme, with one bucket named `bucket`. */
export function startStore(scheme) {
  return stores[scheme]();
}

/**
 * Starts a fake object store that fails 5 % of the requests and drops 1 % of the responses. The workers share only this
 * store and Redis.
 *
 * @param scheme `s3`, `gs` or `az`
 * @param random function that returns a number from 0 to 1
 */
export async function startBucket(scheme, random) {
  const counts = { calls: 0, failed: 0, lost: 0 };
  const server = await startStore(scheme);
  server.setFault(() => {
    counts.calls += 1;
    const chance = random();
    if (chance < 0.01) {
      counts.lost += 1;
      return 'lose-answer';
    }
    if (chance > 0.06) return undefined;
    counts.failed += 1;
    return { instead: { status: 503, headers: { 'retry-after': '0' }, body: '<Error><Code>SlowDown</Code></Error>' } };
  });
  return { ...server, counts };
}

/**
 * Throws unless an output in the bucket has the same files as a local folder, byte for byte. In the manifest, the names
 * of the input files may differ.
 *
 * @returns number of files
 */
export async function mustEqualFolder(bucket, prefix, folder, inputs) {
  const expected = await hashes(folder);
  const objects = new Map([...bucket.objects()].filter(([key]) => key.startsWith(`${prefix}/`)));
  const different = [];
  for (const [key, { bytes }] of objects) {
    const name = key.slice(prefix.length + 1);
    if (name === 'manifest.json') {
      const [local, stored] = [await readFile(join(folder, name), 'utf8'), bytes.toString()];
      if (plainManifest(local, inputs) !== plainManifest(stored, inputs)) different.push(name);
    } else if (expected[name] !== createHash('sha256').update(bytes).digest('hex')) different.push(key);
    delete expected[name];
  }
  different.push(...Object.keys(expected));
  if (different.length > 0) throw new Error(`These files differ from the undisturbed run: ${different.join(', ')}.`);
  if (bucket.uploads().length > 0) throw new Error('The bucket has unfinished multipart uploads.');
  return objects.size;
}

function plainManifest(text, inputs) {
  const plain = (value) => (inputs.includes(value) ? 'the corpus' : value);
  return JSON.stringify(JSON.parse(text, (key, value) => (key === 'file' ? plain(value) : value)));
}
