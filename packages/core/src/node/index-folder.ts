/**
 * Inverted indexes in folders: they are built from a stream in constant memory, and searched without being loaded into
 * memory. A folder contains `index.json`, a file for each segment, and, for an index of texts, `words.txt`.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { checkOptionNames, type OptionNames } from '@sentvec/platform';
import { guardIo, isSystemError, writeFolderAtomically, type FolderFile } from '@sentvec/platform/node';
import { SentvecError } from '../errors.ts';
import { isObject } from '../model-folder/json.ts';
import {
  bm25OptionNames,
  bm25SettingNames,
  checkSettings,
  WordIndex,
  writeTextSegments,
  type Bm25Index,
  type Bm25Options,
  type Bm25Settings,
  type Texts,
} from '../sparse/bm25.ts';
import { Segment } from '../sparse/index-segment.ts';
import {
  indexOptionNames,
  InvertedIndex,
  writeSegments,
  type SparseIndex,
  type SparseIndexOptions,
  type SparseVectors,
} from '../sparse/sparse-index.ts';
import { openParts } from './directory-model.ts';

const description = 'index.json';
const wordsFile = 'words.txt';
const format = 'sentvec inverted index';

/** The content of an index: vectors of a sparse model, or the words of texts. */
type IndexKind = 'sparse' | 'bm25';

/** Options of {@link writeSparseIndex}. */
export interface WriteSparseIndexOptions extends SparseIndexOptions {
  /**
   * Hash of `SparseEmbedder.fingerprint`, which identifies the vector space: {@link openSparseIndex} can then refuse
   * queries of another model.
   */
  readonly fingerprint?: string | undefined;
}

/** Options of {@link openSparseIndex}. */
export interface OpenSparseIndexOptions {
  /** Fingerprint of the queries' vector space: an index with another fingerprint is refused. */
  readonly fingerprint?: string | undefined;
}

const writeOptionNames: OptionNames<WriteSparseIndexOptions> = { ...indexOptionNames, fingerprint: true };
const openOptionNames: OptionNames<OpenSparseIndexOptions> = { fingerprint: true };

/**
 * Builds an inverted index of sparse vectors in a new folder, atomically: the folder appears only when it is complete.
 * @throws SentvecError `invalid-argument` (details.row), `invalid-output` when the folder exists and is not empty,
 * `io-failed`, `aborted`, and what `vectors` throws
 */
export async function writeSparseIndex(
  folder: string,
  vectors: SparseVectors,
  options: WriteSparseIndexOptions = {},
): Promise<void> {
  checkOptionNames('writeSparseIndex()', options, writeOptionNames);
  const { fingerprint, ...others } = options;
  await writeIndex(folder, 'sparse', writeSegments(vectors, others), { fingerprint }, others.signal);
}

/**
 * Opens the folder of an inverted index of sparse vectors. The postings stay on disk: each search reads those of the
 * query's terms, one segment of 65,536 documents at a time.
 * @throws SentvecError `invalid-output` for a folder without such an index; `space-mismatch`; `io-failed`
 */
export async function openSparseIndex(folder: string, options: OpenSparseIndexOptions = {}): Promise<SparseIndex> {
  checkOptionNames('openSparseIndex()', options, openOptionNames);
  const { segments, facts } = await openIndex(folder, 'sparse');
  const stored = facts['fingerprint'];
  if (options.fingerprint !== undefined && stored !== undefined && options.fingerprint !== stored)
    throw new SentvecError(
      'space-mismatch',
      `The vectors in ${folder} come from another model than the query: their fingerprints are ${JSON.stringify(stored)} and ${options.fingerprint}. Build the index again with this model, or query it with the other one.`,
      { file: folder },
    );
  return new InvertedIndex(segments);
}

/**
 * Builds a BM25 index of texts in a new folder, atomically: the folder appears only when it is complete. The vocabulary
 * is kept in memory while the index is built and while it is open; the documents are not.
 * @throws SentvecError as {@link writeSparseIndex}, and `invalid-text` (details.row)
 */
export async function writeBm25Index(folder: string, texts: Texts, options: Bm25Options = {}): Promise<void> {
  checkOptionNames('writeBm25Index()', options, bm25OptionNames);
  checkSettings(options);
  const vocabulary = new Map<string, number>();
  const { k1, b, words } = options;
  const facts = { k1, b, words: words === undefined ? 'unicode' : 'custom' };
  const files = async function* (): AsyncGenerator<FolderFile> {
    yield [wordsFile, () => [...vocabulary.keys()].map((word) => `${JSON.stringify(word)}\n`).join('')];
  };
  await writeIndex(folder, 'bm25', writeTextSegments(texts, vocabulary, options), facts, options.signal, files);
}

/**
 * Opens the folder of an index of texts. `k1` and `b` default to the values that it was built with.
 * @throws SentvecError `invalid-output` for a folder without such an index; `invalid-argument` when it was written with
 * a custom `words`, and none is given; `io-failed`
 */
export async function openBm25Index(folder: string, options: Bm25Settings = {}): Promise<Bm25Index> {
  checkOptionNames('openBm25Index()', options, bm25SettingNames);
  const { segments, facts } = await openIndex(folder, 'bm25');
  const { k1 = numberOf(facts['k1']), b = numberOf(facts['b']), words } = options;
  checkSettings({ k1, b });
  if ((facts['words'] === 'custom') !== (words !== undefined))
    throw new SentvecError(
      'invalid-argument',
      words === undefined
        ? `The index in ${folder} was built with a "words" function: pass the same function.`
        : `The index in ${folder} was built with unicodeWords: leave out "words".`,
      { file: folder },
    );
  const file = join(folder, wordsFile);
  const lines = (await guardIo('Reading', file, () => readFile(file, 'utf8'))).split('\n').slice(0, -1);
  const vocabulary = new Map(lines.map((line, number) => [parseWord(line, file), number]));
  if (segments.some(({ terms, lengths }) => lengths === undefined || (terms.at(-1) ?? -1) >= vocabulary.size))
    throw damagedError(file);
  return new WordIndex(segments, vocabulary, { k1, b, words });
}

async function writeIndex(
  folder: string,
  kind: IndexKind,
  segments: AsyncIterable<Uint8Array>,
  facts: Readonly<Record<string, unknown>>,
  signal: AbortSignal | undefined,
  others: () => AsyncIterable<FolderFile> = async function* () {},
): Promise<void> {
  const files = async function* (): AsyncGenerator<FolderFile> {
    const names: string[] = [];
    for await (const bytes of segments) {
      names.push(`segment-${String(names.length).padStart(5, '0')}.bin`);
      yield [names.at(-1)!, bytes];
    }
    yield* others();
    yield [description, `${JSON.stringify({ format, version: 1, kind, ...facts, segments: names }, undefined, 2)}\n`];
  };
  await writeFolderAtomically(folder, files(), { doing: 'Writing the index', signal });
}

async function openIndex(
  folder: string,
  kind: IndexKind,
): Promise<{ readonly segments: readonly Segment[]; readonly facts: Readonly<Record<string, unknown>> }> {
  const file = join(folder, description);
  const bytes = await readFile(file).catch((error: unknown) => {
    if (!isSystemError(error, 'ENOENT')) return guardIo('Reading', file, () => Promise.reject(error));
    throw new SentvecError(
      'invalid-output',
      `${folder} contains no index: it has no ${description}. Build one with writeSparseIndex() or writeBm25Index().`,
      {
        file: folder,
      },
    );
  });
  const json = parseLine(bytes.toString('utf8'), file);
  if (!isObject(json) || json['format'] !== format || json['version'] !== 1) throw damagedError(file);
  if (json['kind'] !== kind)
    throw new SentvecError(
      'invalid-output',
      kind === 'sparse'
        ? `${folder} contains an index of texts: open it with openBm25Index().`
        : `${folder} contains an index of sparse vectors: open it with openSparseIndex().`,
      { file: folder },
    );
  const names = json['segments'];
  if (!Array.isArray(names) || !names.every((name) => /^segment-\d+\.bin$/u.test(String(name))))
    throw damagedError(file);
  const segments: Segment[] = [];
  for (const name of names as string[]) {
    const path = join(folder, name);
    segments.push(new Segment(await guardIo('Reading', path, () => openParts(path)), path));
  }
  return { segments, facts: json };
}

function parseWord(line: string, file: string): string {
  const word = parseLine(line, file);
  if (typeof word === 'string') return word;
  throw damagedError(file);
}

function parseLine(json: string, file: string): unknown {
  try {
    return JSON.parse(json) as unknown;
  } catch (cause) {
    throw damagedError(file, cause);
  }
}

function numberOf(value: unknown): number | undefined {
  return typeof value === 'number' ? value : undefined;
}

function damagedError(file: string, cause?: unknown): SentvecError {
  const message = `${file} is damagedError, or of another version. Build the index again.`;
  return new SentvecError('invalid-output', message, { file }, { cause });
}
