/**
 * A cache of vectors by content: the vector of a text is found by the text, the space, and the backend. It is a folder
 * of files that are written whole and never changed, so that any number of processes can share it.
 */
import { hash, randomUUID } from 'node:crypto';
import { open, readdir, rm, stat, utimes } from 'node:fs/promises';
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
/** A file has the keys of all its vectors, so that finding out what it holds reads little of it, then their entries. */
const keyBytes = 16;
const hashBytes = 8;
/** Before the numbers of an entry: the hash of what follows it, the tokens, the tokens of a text that was cut. */
const headBytes = hashBytes + 8;
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
      const key = await sha256(canonicalJson([2, fingerprint, ...computer]));
      const folder = join(directory, key.slice(0, 32));
      await makeFolder(folder);
      const space = new CachedSpace(folder, dimension, () => trim(directory, maxBytes));
      await space.readIndex();
      return space;
    },
  };
}

/** A file whose keys are in the index. */
interface IndexedFile {
  readonly path: string;
  readonly vectors: number;
}

/** Where a vector is. */
interface Location {
  readonly file: IndexedFile;
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
    return headBytes + 4 * this.#dimension;
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
      const path = join(this.#folder, name);
      const size = (await stat(path).catch(() => undefined))?.size ?? 0; // Another process has removed it.
      const vectors = size / (keyBytes + this.#entryBytes);
      const keys = Number.isInteger(vectors) ? await readRange(path, 0, vectors * keyBytes) : undefined;
      if (keys === undefined) continue;
      const file = { path, vectors };
      for (let index = 0; index < vectors; index += 1)
        this.#index.set(keys.toString('latin1', index * keyBytes, (index + 1) * keyBytes), { file, index });
    }
  }

  /** What is known of each text. An entry whose hash is wrong is unknown. */
  async find(texts: readonly string[]): Promise<(CachedVector | undefined)[]> {
    const keys = texts.map(keyOf);
    const isUnknown = (key: string): boolean => !this.#unwritten.has(key) && !this.#index.has(key);
    if (Date.now() - this.#lookedAt >= lookInterval && keys.some(isUnknown)) await this.readIndex();
    const found = keys.map((key) => this.#unwritten.get(key));
    const wanted = new Map<IndexedFile, { readonly position: number; readonly index: number }[]>();
    for (const [position, key] of keys.entries()) {
      const location = found[position] === undefined ? this.#index.get(key) : undefined;
      if (location === undefined) continue;
      const ofFile = wanted.get(location.file);
      const entry = { position, index: location.index };
      if (ofFile === undefined) wanted.set(location.file, [entry]);
      else ofFile.push(entry);
    }
    for (const [{ path, vectors }, entries] of wanted) {
      this.#used.add(path);
      const first = entries.reduce((least, { index }) => Math.min(least, index), vectors);
      const last = entries.reduce((most, { index }) => Math.max(most, index), 0);
      const begin = vectors * keyBytes + first * this.#entryBytes;
      const bytes = await readRange(path, begin, begin + (last + 1 - first) * this.#entryBytes);
      if (bytes === undefined) continue;
      for (const { position, index } of entries) found[position] = this.#decode(bytes, index - first, path);
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
    const path = join(this.#folder, `${Date.now()}-${randomUUID()}${ending}`);
    const keys = Buffer.from(entries.map(([key]) => key).join(''), 'latin1');
    const bytes = Buffer.concat([keys, ...entries.map(([, vector]) => this.#encode(vector))]);
    try {
      await writeFileAtomically(path, bytes);
    } catch (error) {
      return warn(`The cache of vectors cannot be written: ${error instanceof Error ? error.message : String(error)}`);
    }
    this.#proven.add(path);
    this.#indexed.add(basename(path));
    const file = { path, vectors: entries.length };
    for (const [index, [key]] of entries.entries()) this.#index.set(key, { file, index });
    await this.#trim();
  }

  #encode({ vector, tokens, cutFrom }: CachedVector): Buffer {
    const entry = Buffer.alloc(this.#entryBytes);
    entry.writeUInt32LE(tokens, hashBytes);
    entry.writeUInt32LE(cutFrom, hashBytes + 4);
    entry.set(new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength), headBytes);
    hashOf(entry).copy(entry);
    return entry;
  }

  #decode(bytes: Buffer, index: number, file: string): CachedVector | undefined {
    const begin = index * this.#entryBytes;
    const entry = bytes.subarray(begin, begin + this.#entryBytes);
    if (hashOf(entry).compare(entry, 0, hashBytes) !== 0) return undefined;
    return {
      vector: new Float32Array(bytes.buffer, bytes.byteOffset + begin + headBytes, this.#dimension),
      tokens: entry.readUInt32LE(hashBytes),
      cutFrom: entry.readUInt32LE(hashBytes + 4),
      file,
    };
  }
}

/** A part of a file; `undefined` when it is not there, because another process has removed the file. */
async function readRange(path: string, start: number, end: number): Promise<Buffer | undefined> {
  try {
    const handle = await open(path);
    try {
      const bytes = Buffer.from(new ArrayBuffer(end - start)); // At its beginning, numbers of 32 bits are aligned.
      const { bytesRead } = await handle.read(bytes, 0, bytes.length, start);
      return bytesRead === bytes.length ? bytes : undefined;
    } finally {
      await handle.close();
    }
  } catch {
    return undefined;
  }
}

/** UTF-16 units, not UTF-8: halves of surrogate pairs must not become one text. */
function keyOf(text: string): string {
  return hash('sha256', Buffer.from(text, 'utf16le'), 'buffer').toString('latin1', 0, keyBytes);
}

/** Of all of an entry but the hash itself. */
function hashOf(entry: Buffer): Buffer {
  return hash('sha256', entry.subarray(hashBytes), 'buffer').subarray(0, hashBytes);
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
