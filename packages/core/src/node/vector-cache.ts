/**
 * A cache of vectors by content: the vector of a text is found by the text, the space, and the backend. It is a folder
 * of files that are written whole and never changed, so that any number of processes can share it.
 */
import { createHash, randomUUID } from 'node:crypto';
import { open, readdir, readFile, rm, stat, utimes } from 'node:fs/promises';
import { cpus } from 'node:os';
import { basename, join } from 'node:path';
import { canonicalJson, checkOptionNames, sha256, warn, type OptionNames } from '@sentvec/platform';
import { makeFolder, writeFileAtomically } from '@sentvec/platform/node';
import { SentvecError } from '../errors.ts';

/** Options of {@link openVectorCache}. */
export interface VectorCacheOptions {
  /**
   * The most bytes that the cache takes, of all models together. What was used longest ago is removed.
   * @default 4 GiB
   */
  readonly maxBytes?: number | undefined;
}

/** What is stored of a text. */
export interface CachedVector {
  readonly vector: Float32Array;
  /** Tokens that the model read. */
  readonly tokens: number;
  /** Tokens of the whole text where it was cut, else 0. */
  readonly cutFrom: number;
  /** The file that it was read from; `undefined` where this process computed it. */
  readonly file?: string | undefined;
}

/** A cache of vectors in a folder; see {@link openVectorCache}. */
export interface VectorCache {
  readonly directory: string;
  /**
   * The vectors of a space.
   * @param fingerprint see `Embedder.fingerprint`
   * @param backend what computes them; bits differ between backends, and between kinds of CPU, which the cache tells
   * apart
   */
  space(fingerprint: string, backend: string | undefined, dimension: number): Promise<CachedSpace>;
}

const optionNames: OptionNames<VectorCacheOptions> = { maxBytes: true };
const defaultBytes = 2 ** 32;
/** Vectors are written when so many bytes of them are there, and when an embedder is disposed of. */
const bytesOfFile = 2 ** 22;
/** Milliseconds after which it is looked again what other processes have written, when a text is not found. */
const lookInterval = 10_000;
const keyBytes = 16;
const hashBytes = 8;
const ending = '.vectors';

/**
 * Opens a cache of vectors, or makes one. {@link cachedEmbedder} uses it.
 * @param directory the folder of the cache, for any number of models and processes; it holds nothing else
 * @throws SentvecError `invalid-argument`, `io-failed`
 */
export async function openVectorCache(directory: string, options: VectorCacheOptions = {}): Promise<VectorCache> {
  checkOptionNames('openVectorCache()', options, optionNames);
  const { maxBytes = defaultBytes } = options;
  if (!(maxBytes > 0)) throw new SentvecError('invalid-argument', `maxBytes is ${maxBytes}; it must be above 0.`);
  await makeFolder(directory);
  return {
    directory,
    space: async (fingerprint, backend, dimension) => {
      const computer = [backend ?? null, process.arch, cpus()[0]?.model ?? null];
      const key = await sha256(canonicalJson([1, fingerprint, ...computer]));
      const folder = join(directory, key.slice(0, 32));
      await makeFolder(folder);
      const space = new CachedSpace(folder, dimension, () => trim(directory, maxBytes));
      await space.readIndex();
      return space;
    },
  };
}

/** Where a vector is. */
interface Location {
  readonly file: string;
  readonly index: number;
}

/**
 * The vectors of one space. Memory: some 100 bytes for each that the cache holds. Those that other processes write
 * meanwhile are found, too, a few seconds later.
 */
export class CachedSpace {
  readonly #folder: string;
  readonly #dimension: number;
  readonly #trim: () => Promise<void>;
  readonly #index = new Map<string, Location>();
  readonly #used = new Set<string>();
  /** Names of the files whose vectors are in the index. */
  readonly #indexed = new Set<string>();
  #lookedAt = 0;
  /** Files whose vectors come out alike here. */
  readonly #proven = new Set<string>();
  #unwritten = new Map<string, CachedVector>();

  constructor(folder: string, dimension: number, trimCache: () => Promise<void>) {
    this.#folder = folder;
    this.#dimension = dimension;
    this.#trim = trimCache;
  }

  get #entryBytes(): number {
    return keyBytes + hashBytes + 8 + 4 * this.#dimension;
  }

  /**
   * Finds out what the files hold that were not there before. One that is not whole is left out. Of a vector in several
   * files, the last one counts.
   */
  async readIndex(): Promise<void> {
    this.#lookedAt = Date.now();
    for (const name of (await readdir(this.#folder)).sort()) {
      if (!name.endsWith(ending) || this.#indexed.has(name)) continue;
      this.#indexed.add(name);
      const file = join(this.#folder, name);
      const bytes = await readFile(file).catch(() => Buffer.alloc(0)); // Another process has removed it.
      if (bytes.length % this.#entryBytes !== 0) continue;
      for (let index = 0; index < bytes.length / this.#entryBytes; index += 1) {
        const begin = index * this.#entryBytes;
        this.#index.set(bytes.toString('latin1', begin, begin + keyBytes), { file, index });
      }
    }
  }

  /** What is known of each text. An entry whose hash is wrong is unknown. */
  async find(texts: readonly string[]): Promise<(CachedVector | undefined)[]> {
    const keys = texts.map(keyOf);
    const isUnknown = (key: string): boolean => !this.#unwritten.has(key) && !this.#index.has(key);
    if (Date.now() - this.#lookedAt >= lookInterval && keys.some(isUnknown)) await this.readIndex();
    const found = keys.map((key) => this.#unwritten.get(key));
    const wanted = new Map<string, { readonly position: number; readonly key: string; readonly index: number }[]>();
    for (const [position, key] of keys.entries()) {
      const location = found[position] === undefined ? this.#index.get(key) : undefined;
      if (location === undefined) continue;
      const ofFile = wanted.get(location.file) ?? [];
      ofFile.push({ position, key, index: location.index });
      wanted.set(location.file, ofFile);
    }
    for (const [file, entries] of wanted) {
      const first = Math.min(...entries.map(({ index }) => index));
      const last = Math.max(...entries.map(({ index }) => index));
      const bytes = await this.#read(file, first, last + 1);
      for (const { position, key, index } of entries)
        found[position] = bytes && this.#decode(bytes, index - first, key, file);
    }
    return found;
  }

  /** Whether vectors of a file were compared with computed ones, or are of this process. */
  isProven(file: string): boolean {
    return this.#proven.has(file);
  }

  /** Notes that vectors of these files come out alike. */
  prove(files: Iterable<string>): void {
    for (const file of files) this.#proven.add(file);
  }

  /** Remembers vectors, and writes them when there are many. */
  async add(texts: readonly string[], vectors: readonly CachedVector[]): Promise<void> {
    for (const [index, text] of texts.entries()) this.#unwritten.set(keyOf(text), vectors[index]!);
    if (this.#unwritten.size * this.#entryBytes >= bytesOfFile) await this.write();
  }

  /** Forgets all, here and for others: what computes the vectors has changed. */
  async clear(): Promise<void> {
    this.#index.clear();
    this.#unwritten.clear();
    for (const name of await readdir(this.#folder)) await rm(join(this.#folder, name), { force: true });
  }

  /** Writes the vectors that are not written yet. If that fails, they are computed again the next time. */
  async write(): Promise<void> {
    const entries = [...this.#unwritten];
    this.#unwritten = new Map();
    const now = new Date();
    for (const file of this.#used) await utimes(file, now, now).catch(() => {});
    this.#used.clear();
    if (entries.length === 0) return;
    // Names in the order of time: a vector that was damaged, and is computed again, is in a later file.
    const file = join(this.#folder, `${Date.now()}-${randomUUID()}${ending}`);
    const bytes = Buffer.concat(entries.map(([key, vector]) => this.#encode(key, vector)));
    try {
      await writeFileAtomically(file, bytes);
    } catch (error) {
      return warn(`The cache of vectors cannot be written: ${error instanceof Error ? error.message : String(error)}`);
    }
    this.#proven.add(file);
    this.#indexed.add(basename(file));
    for (const [index, [key]] of entries.entries()) this.#index.set(key, { file, index });
    await this.#trim();
  }

  async #read(file: string, first: number, end: number): Promise<Buffer | undefined> {
    this.#used.add(file);
    try {
      const handle = await open(file);
      try {
        const bytes = Buffer.alloc((end - first) * this.#entryBytes);
        const { bytesRead } = await handle.read(bytes, 0, bytes.length, first * this.#entryBytes);
        return bytesRead === bytes.length ? bytes : undefined;
      } finally {
        await handle.close();
      }
    } catch {
      return undefined; // Another process has removed it.
    }
  }

  #encode(key: string, { vector, tokens, cutFrom }: CachedVector): Buffer {
    const entry = Buffer.alloc(this.#entryBytes);
    entry.write(key, 'latin1');
    entry.writeUInt32LE(tokens, keyBytes + hashBytes);
    entry.writeUInt32LE(cutFrom, keyBytes + hashBytes + 4);
    entry.set(new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength), keyBytes + hashBytes + 8);
    hashOf(entry).copy(entry, keyBytes);
    return entry;
  }

  #decode(bytes: Buffer, index: number, key: string, file: string): CachedVector | undefined {
    const entry = bytes.subarray(index * this.#entryBytes, (index + 1) * this.#entryBytes);
    const isSound = hashOf(entry).equals(entry.subarray(keyBytes, keyBytes + hashBytes));
    if (!isSound || entry.toString('latin1', 0, keyBytes) !== key) return undefined;
    const numbers = new Uint8Array(entry.subarray(keyBytes + hashBytes + 8));
    return {
      vector: new Float32Array(numbers.buffer),
      tokens: entry.readUInt32LE(keyBytes + hashBytes),
      cutFrom: entry.readUInt32LE(keyBytes + hashBytes + 4),
      file,
    };
  }
}

/** UTF-16 units, not UTF-8: halves of surrogate pairs must not become one text. */
function keyOf(text: string): string {
  return createHash('sha256').update(text, 'utf16le').digest().toString('latin1', 0, keyBytes);
}

/** Of all of an entry but the hash itself. */
function hashOf(entry: Buffer): Buffer {
  const hash = createHash('sha256')
    .update(entry.subarray(0, keyBytes))
    .update(entry.subarray(keyBytes + hashBytes));
  return hash.digest().subarray(0, hashBytes);
}

/** Removes the files that were used longest ago, until the cache has at most so many bytes. */
async function trim(directory: string, maxBytes: number): Promise<void> {
  const names = await readdir(directory, { recursive: true });
  const files = (
    await Promise.all(
      names
        .filter((name) => name.endsWith(ending))
        .map(async (name) => {
          const file = join(directory, name);
          const stats = await stat(file).catch(() => undefined);
          return stats === undefined ? [] : [{ file, size: stats.size, used: stats.mtimeMs }];
        }),
    )
  ).flat();
  let total = files.reduce((sum, { size }) => sum + size, 0);
  for (const { file, size } of files.toSorted((a, b) => a.used - b.used)) {
    if (total <= maxBytes) return;
    await rm(file, { force: true });
    total -= size;
  }
}
