/**
 * Inverted indexes in folders: built from a stream in memory that does not grow with it, and searched without being read
 * into memory. A folder holds `index.json`, a file for each segment, and, of an index of texts, `words.txt`.
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

/** What a folder holds: vectors of a sparse model, or texts by their words. */
type IndexKind = 'sparse' | 'bm25';

/** Options of {@link writeSparseIndex}. */
export interface WriteSparseIndexOptions extends SparseIndexOptions {
  /**
   * Names the space of the vectors, as `SparseEmbedder.fingerprint` gives it: {@link openSparseIndex} can then refuse
   * queries of another one.
   */
  readonly fingerprint?: string | undefined;
}

/** Options of {@link openSparseIndex}. */
export interface OpenSparseIndexOptions {
  /** The space of the queries: an index of another one is refused. */
  readonly fingerprint?: string | undefined;
}

const writeOptionNames: OptionNames<WriteSparseIndexOptions> = { ...indexOptionNames, fingerprint: true };
const openOptionNames: OptionNames<OpenSparseIndexOptions> = { fingerprint: true };

/**
 * Builds an inverted index of sparse vectors in a new folder, which appears whole or not at all.
 * @throws SentvecError `invalid-argument` (details.row), `invalid-output` when the folder is there and not empty,
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
 * Opens the folder of an inverted index of sparse vectors. The postings stay on the disk: of each search, those of the
 * query's terms are read, a segment of 65,536 documents at a time.
 * @throws SentvecError `invalid-output` for a folder that is no such index; `space-mismatch`; `io-failed`
 */
export async function openSparseIndex(folder: string, options: OpenSparseIndexOptions = {}): Promise<SparseIndex> {
  checkOptionNames('openSparseIndex()', options, openOptionNames);
  const { segments, facts } = await openIndex(folder, 'sparse');
  const stored = facts['fingerprint'];
  if (options.fingerprint !== undefined && stored !== undefined && options.fingerprint !== stored)
    throw new SentvecError(
      'space-mismatch',
      `The vectors in ${folder} come from another model than the query: the fingerprints are ${JSON.stringify(stored)} and ${options.fingerprint}. Build the index again with this model, or query it with the other one.`,
      { file: folder },
    );
  return new InvertedIndex(segments);
}

/**
 * Builds an index of texts for BM25 in a new folder, which appears whole or not at all. The words are kept in memory
 * while it is built, and when it is open; the documents are not.
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
 * Opens the folder of an index of texts. `k1` and `b` are those that it was written with, unless others are given.
 * @throws SentvecError `invalid-output` for a folder that is no such index; `invalid-argument` when it was written with
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
    throw damaged(file);
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
    throw new SentvecError('invalid-output', `${folder} holds no index: there is no ${description} in it.`, {
      file: folder,
    });
  });
  const json = parseLine(bytes.toString('utf8'), file);
  if (!isObject(json) || json['format'] !== format || json['version'] !== 1) throw damaged(file);
  if (json['kind'] !== kind)
    throw new SentvecError(
      'invalid-output',
      kind === 'sparse'
        ? `${folder} holds an index of words: open it with openBm25Index().`
        : `${folder} holds an index of sparse vectors: open it with openSparseIndex().`,
      { file: folder },
    );
  const names = json['segments'];
  if (!Array.isArray(names) || !names.every((name) => /^segment-\d+\.bin$/u.test(String(name)))) throw damaged(file);
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
  throw damaged(file);
}

function parseLine(json: string, file: string): unknown {
  try {
    return JSON.parse(json) as unknown;
  } catch (cause) {
    throw damaged(file, cause);
  }
}

function numberOf(value: unknown): number | undefined {
  return typeof value === 'number' ? value : undefined;
}

function damaged(file: string, cause?: unknown): SentvecError {
  const message = `${file} is damaged, or of another version. Build the index again.`;
  return new SentvecError('invalid-output', message, { file }, { cause });
}
