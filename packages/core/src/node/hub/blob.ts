// Downloads one file into the hub's cache: resumes earlier attempts and checks the content.
import { createHash, randomBytes, type Hash } from 'node:crypto';
import { constants, createReadStream } from 'node:fs';
// oxlint-disable-next-line no-restricted-imports -- renames what is unfinished, to make it this call's own
import { open, readdir, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { moveIntoPlace, withFileLock } from '@sentvec/platform/node';
import type { HubClient } from '../../hub/client.ts';
import {
  downloadFile,
  wrongHash,
  type DownloadProgress,
  type DownloadTarget,
  type ExpectedHashes,
} from '../../hub/download.ts';
import type { HubFile } from '../../hub/repository.ts';
import { guardCache } from './cache.ts';

/**
 * Downloads a file to the path `blob`, whose name is the hash of the content, unless it exists. Received bytes are
 * first written to an `.incomplete` file in the same folder, which a later attempt of any process resumes; only
 * verified content is moved to `blob`. Safe to run in several processes at once.
 * @throws SentvecError `download-failed`, `model-not-found`, `model-access-denied`, `aborted`
 */
export async function downloadBlob(
  client: HubClient,
  commit: string,
  file: HubFile,
  blob: string,
  onProgress?: (progress: DownloadProgress) => void,
): Promise<void> {
  const { signal } = client.options;
  await withFileLock(
    `${blob}.lock`,
    async () => {
      if (await exists(blob)) return;
      const partial = await claimPartialFile(blob);
      const isResumed = (await sizeOf(partial)) > 0;
      const damage = await downloadPartial(client, commit, file, blob, partial, onProgress);
      if (damage === undefined) return;
      // The damage may be in what an earlier attempt downloaded, so try once from the beginning.
      const again = isResumed ? await downloadPartial(client, commit, file, blob, partial, onProgress) : damage;
      if (again !== undefined) throw wrongHash(client.model, file.path, again.expected, again.actual);
    },
    signal,
  );
}

interface Damage {
  readonly expected: string;
  readonly actual: string;
}

/**
 * Downloads to the partial file and moves it into place. If a hash is wrong, deletes the file and returns the damage.
 */
async function downloadPartial(
  client: HubClient,
  commit: string,
  file: HubFile,
  blob: string,
  partial: string,
  onProgress: ((progress: DownloadProgress) => void) | undefined,
): Promise<Damage | undefined> {
  const target = await FileTarget.open(partial, file.size);
  let damage: Damage | undefined;
  try {
    const expected = await downloadFile(client, commit, file, target, onProgress);
    damage = target.check(expected);
    await target.flush();
  } finally {
    await target.close();
  }
  if (damage === undefined) await moveIntoPlace(partial, blob).catch((error: unknown) => unlessExists(blob, error));
  else await rm(partial, { force: true });
  return damage;
}

/** Ignores an error when the blob exists: another process claimed the partial file and finished the download. */
async function unlessExists(blob: string, error: unknown): Promise<void> {
  if (!(await exists(blob))) throw error;
}

/**
 * Renames the largest `.incomplete` file of earlier attempts to a name of this call's own, and returns that path. If
 * the process that wrote it is still alive, it writes the same bytes at the same positions, so the content stays
 * correct.
 */
async function claimPartialFile(blob: string): Promise<string> {
  const own = `${blob}.${randomBytes(4).toString('hex')}.incomplete`;
  const prefix = `${basename(blob)}.`;
  const left = (await readdir(dirname(blob))).filter(
    (name) => name.startsWith(prefix) && /\.[0-9a-f]{8}\.incomplete$/u.test(name),
  );
  const sizes = await Promise.all(
    left.map(async (name) => ({ path: join(dirname(blob), name), size: await sizeOf(join(dirname(blob), name)) })),
  );
  const [largest, ...others] = sizes.sort((a, b) => b.size - a.size);
  if (largest) await rename(largest.path, own).catch(() => {});
  for (const { path } of others) await rm(path, { force: true });
  return own;
}

/** A file that is hashed while bytes are appended. */
class FileTarget implements DownloadTarget {
  readonly #path: string;
  readonly #size: number;
  #file: FileHandle;
  #sha256!: Hash;
  #gitId!: Hash;
  received = 0;

  private constructor(path: string, size: number, file: FileHandle) {
    this.#path = path;
    this.#size = size;
    this.#file = file;
    this.#start();
  }

  static async open(path: string, size: number): Promise<FileTarget> {
    const target = new FileTarget(path, size, await openOrCreate(path));
    for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 18 })) target.#count(chunk as Uint8Array);
    return target;
  }

  async append(bytes: Uint8Array): Promise<void> {
    await guardCache(dirname(this.#path), async () => {
      for (let from = 0; from < bytes.length;) {
        const { bytesWritten } = await this.#file.write(bytes, from, bytes.length - from, this.received + from);
        from += bytesWritten;
      }
    });
    this.#count(bytes);
  }

  /** Starts a new file instead of truncating the old one, which another process may be using. */
  async clear(): Promise<void> {
    await guardCache(dirname(this.#path), async () => {
      await this.#file.close();
      await rm(this.#path, { force: true });
      this.#file = await openOrCreate(this.#path);
    });
    this.#start();
  }

  /** The first hash that differs from the expected one, if any. */
  check(expected: ExpectedHashes): Damage | undefined {
    const hashes = [
      ...expected.sha256.map((hash) => ({ expected: hash, actual: this.#sha256.copy().digest('hex') })),
      ...(expected.gitId === undefined ? [] : [{ expected: expected.gitId, actual: this.#gitId.copy().digest('hex') }]),
    ];
    return hashes.find((hash) => hash.expected !== hash.actual);
  }

  async flush(): Promise<void> {
    await this.#file.sync();
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  #start(): void {
    this.received = 0;
    this.#sha256 = createHash('sha256');
    this.#gitId = createHash('sha1').update(`blob ${this.#size}\0`);
  }

  #count(bytes: Uint8Array): void {
    this.received += bytes.length;
    this.#sha256.update(bytes);
    this.#gitId.update(bytes);
  }
}

/** Opens a file for reading and writing at any position; creates it if it does not exist, and never truncates it. */
function openOrCreate(path: string): Promise<FileHandle> {
  return open(path, constants.O_RDWR | constants.O_CREAT, 0o666);
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}

async function sizeOf(path: string): Promise<number> {
  return (await stat(path).catch(() => undefined))?.size ?? 0;
}
