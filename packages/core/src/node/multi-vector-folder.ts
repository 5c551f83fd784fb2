/**
 * Token vectors of many documents in a folder: they are written from a stream in constant memory, and scored without
 * being loaded into memory. A folder contains `index.json`, `rows.bin` with the number of rows of each document, and
 * segments with the rows of the documents. With `int8`, the rows of a document are followed by their scales.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { checkOptionNames, type OptionNames } from '@sentvec/platform';
import { guardIo, isSystemError, writeFolderAtomically, type FolderFile } from '@sentvec/platform/node';
import { SentvecError, throwIfAborted } from '../errors.ts';
import { isObject } from '../model-folder/json.ts';
import { checkMultiVectors } from '../multi-vector/multi-vectors.ts';
import type { DocumentVectors, StoredMultiVectors } from '../multi-vector/max-similarity.ts';
import type { MultiVectors } from '../multi-vector/multi-vector-types.ts';
import { quantizeTokens, tokenPrecisions } from '../multi-vector/token-quantization.ts';
import { checkChoice } from '../search/vector-checks.ts';
import type { FileParts } from '../types.ts';
import { openParts } from './directory-model.ts';

const description = 'index.json';
const rowsFile = 'rows.bin';
const format = 'sentvec token vectors';

/** Size in bytes at which a segment is complete. */
const segmentBytes = 2 ** 26;

type Precision = StoredMultiVectors['precision'];

/** Options of {@link writeMultiVectors}. */
export interface WriteMultiVectorsOptions {
  /**
   * Precision of the stored entries: `int8` needs a quarter of the space, `binary` 1/32.
   * @default 'float32'
   */
  readonly precision?: Precision | undefined;
  /**
   * Hash of `MultiVectorEmbedder.fingerprint`, which identifies the vector space: {@link openMultiVectors} can then
   * refuse queries of another model.
   */
  readonly fingerprint?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Options of {@link openMultiVectors}. */
export interface OpenMultiVectorsOptions {
  /** Fingerprint of the queries' vector space: vectors with another fingerprint are refused. */
  readonly fingerprint?: string | undefined;
}

const writeOptionNames: OptionNames<WriteMultiVectorsOptions> = { precision: true, fingerprint: true, signal: true };
const openOptionNames: OptionNames<OpenMultiVectorsOptions> = { fingerprint: true };

/**
 * Writes the token vectors of documents to a new folder, atomically: the folder appears only when it is complete.
 * @param vectors the documents in order, any number of them in each item
 * @throws SentvecError `invalid-argument` (vectors of different lengths, entries that are not finite), `invalid-output`
 * when the folder exists and is not empty, `io-failed`, `aborted`, and what `vectors` throws
 */
export async function writeMultiVectors(
  folder: string,
  vectors: Iterable<MultiVectors> | AsyncIterable<MultiVectors>,
  options: WriteMultiVectorsOptions = {},
): Promise<void> {
  checkOptionNames('writeMultiVectors()', options, writeOptionNames);
  const { precision = 'float32', fingerprint, signal } = options;
  checkChoice(precision, ['float32', ...tokenPrecisions], 'precision');
  const writer = new SegmentWriter(precision);
  const files = async function* (): AsyncGenerator<FolderFile> {
    for await (const part of vectors) {
      throwIfAborted(signal);
      yield* writer.add(part);
    }
    yield* writer.finish();
    yield [rowsFile, bytesOf(Uint32Array.from(writer.rows))];
    const facts = { format, version: 1, precision, cols: writer.cols ?? 0, fingerprint, segments: writer.segments };
    yield [description, `${JSON.stringify(facts, undefined, 2)}\n`];
  };
  await writeFolderAtomically(folder, files(), { doing: 'Writing the token vectors', signal });
}

/** Groups documents into segments. */
class SegmentWriter {
  /** Number of rows of each document. */
  readonly rows: number[] = [];
  /** Number of documents of each segment. */
  readonly segments: number[] = [];
  cols: number | undefined;
  readonly #precision: Precision;
  #pieces: Uint8Array[] = [];
  #texts = 0;
  #bytes = 0;

  constructor(precision: Precision) {
    this.#precision = precision;
  }

  /** Adds documents. Yields the segments that are complete. */
  *add(vectors: MultiVectors): Generator<FolderFile> {
    checkMultiVectors(vectors, `The vectors from document ${this.rows.length} on`);
    if (vectors.texts === 0) return;
    this.cols ??= vectors.cols;
    if (this.cols !== vectors.cols)
      throw new SentvecError(
        'invalid-argument',
        `Document ${this.rows.length} has vectors of ${vectors.cols} entries, those before of ${this.cols}. Embed all documents with the same model.`,
        { row: this.rows.length },
      );
    const stored = this.#precision === 'float32' ? checkedNumbers(vectors) : quantizeTokens(vectors, this.#precision);
    const rowLength = this.#precision === 'binary' ? Math.ceil(vectors.cols / 8) : vectors.cols;
    for (let text = 0; text < vectors.texts; text++) {
      const [begin, end] = [vectors.offsets[text]!, vectors.offsets[text + 1]!];
      const scales = 'scales' in stored ? stored.scales : undefined;
      this.#push(bytesOf(stored.data.slice(begin * rowLength, end * rowLength)));
      if (scales !== undefined) this.#push(bytesOf(scales.slice(begin, end)));
      this.rows.push(end - begin);
      this.#texts += 1;
      if (this.#bytes >= segmentBytes) yield* this.finish();
    }
  }

  /** Yields the last, incomplete segment, if there is one. */
  *finish(): Generator<FolderFile> {
    if (this.#texts === 0) return;
    yield [segmentName(this.segments.length), this.#pieces];
    this.segments.push(this.#texts);
    this.#pieces = [];
    this.#texts = 0;
    this.#bytes = 0;
  }

  #push(piece: Uint8Array): void {
    this.#pieces.push(piece);
    this.#bytes += piece.length;
  }
}

function checkedNumbers(vectors: MultiVectors): MultiVectors {
  const at = vectors.data.findIndex((entry) => !Number.isFinite(entry));
  if (at === -1) return vectors;
  const row = Math.floor(at / vectors.cols);
  throw new SentvecError('invalid-argument', `Row ${row} has an entry that is not a finite number.`, { row });
}

/**
 * Opens a folder of token vectors, for `maxSimilarityScores` and `searchByMaxSimilarity`. The vectors stay on disk;
 * memory use is 12 bytes per document.
 * @throws SentvecError `invalid-output` for a folder without token vectors, or with damaged ones; `space-mismatch`;
 * `io-failed`
 */
export async function openMultiVectors(
  folder: string,
  options: OpenMultiVectorsOptions = {},
): Promise<StoredMultiVectors> {
  checkOptionNames('openMultiVectors()', options, openOptionNames);
  const { precision, cols, fingerprint, segments } = await readDescription(folder);
  if (options.fingerprint !== undefined && fingerprint !== undefined && options.fingerprint !== fingerprint)
    throw new SentvecError(
      'space-mismatch',
      `The token vectors in ${folder} come from another model than the query: their fingerprints are ${fingerprint} and ${options.fingerprint}. Write them again with this model, or query them with the other one.`,
      { file: folder },
    );
  const rows = await readRows(join(folder, rowsFile), segments);
  const stored = new StoredDocuments({ cols, precision, fingerprint }, rows);
  for (const [index, count] of segments.entries()) await stored.addSegment(join(folder, segmentName(index)), count);
  return stored;
}

async function readRows(file: string, segments: readonly number[]): Promise<Uint32Array> {
  const bytes = await guardIo('Reading', file, () => readFile(file));
  if (bytes.length !== 4 * segments.reduce((sum, count) => sum + count, 0)) throw damagedError(file);
  return new Uint32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
}

/** Documents whose vectors are in segment files. */
class StoredDocuments implements StoredMultiVectors {
  readonly texts: number;
  readonly cols: number;
  readonly precision: Precision;
  readonly fingerprint: string | undefined;
  readonly #rows: Uint32Array;
  readonly #rowBytes: number;
  /** Byte offset of each document in the file of its segment. */
  readonly #offsets: Float64Array;
  readonly #segments: { readonly parts: FileParts; readonly first: number; readonly end: number }[] = [];

  constructor(
    { cols, precision, fingerprint }: Pick<StoredMultiVectors, 'cols' | 'precision' | 'fingerprint'>,
    rows: Uint32Array,
  ) {
    this.texts = rows.length;
    this.cols = cols;
    this.precision = precision;
    this.fingerprint = fingerprint;
    this.#rows = rows;
    this.#rowBytes = precision === 'float32' ? 4 * cols : precision === 'int8' ? cols + 4 : Math.ceil(cols / 8);
    this.#offsets = new Float64Array(rows.length);
  }

  /** Adds the file with the next documents. @throws SentvecError `invalid-output`, `io-failed` */
  async addSegment(file: string, count: number): Promise<void> {
    const parts = await guardIo('Reading', file, () => openParts(file));
    const first = this.#segments.at(-1)?.end ?? 0;
    let offset = 0;
    for (let text = first; text < first + count; text++) {
      this.#offsets[text] = offset;
      offset += this.#bytesOf(text);
    }
    if (offset !== parts.size) throw damagedError(file);
    this.#segments.push({ parts, first, end: first + count });
  }

  read(begin: number, end: number): DocumentVectors[] {
    if (!(Number.isSafeInteger(begin) && Number.isSafeInteger(end) && begin >= 0 && begin <= end && end <= this.texts))
      throw new SentvecError(
        'invalid-argument',
        `There are no documents ${begin} to ${end}: the indices of the ${this.texts} documents start at 0.`,
      );
    return this.#segments.flatMap(({ parts, first, end: after }) => {
      const [from, to] = [Math.max(begin, first), Math.min(end, after)];
      if (from >= to) return [];
      const start = this.#offsets[from]!;
      const block = parts.read(start, this.#offsets[to - 1]! + this.#bytesOf(to - 1));
      return Array.from({ length: to - from }, (_, index) => {
        const at = this.#offsets[from + index]! - start;
        const bytes = block.slice(at, at + this.#bytesOf(from + index));
        return documentOf(bytes, this.#rows[from + index]!, this.cols, this.precision);
      });
    });
  }

  #bytesOf(text: number): number {
    return this.#rows[text]! * this.#rowBytes;
  }
}

/** @param bytes an array that spans its whole buffer */
function documentOf({ buffer }: Uint8Array, rows: number, cols: number, precision: Precision): DocumentVectors {
  const rest = { offsets: Float64Array.of(0, rows), texts: 1, cols };
  if (precision === 'float32') return { ...rest, data: new Float32Array(buffer) };
  if (precision === 'binary') return { ...rest, precision, data: new Uint8Array(buffer) };
  const scales = new Float32Array(buffer.slice(rows * cols));
  return { ...rest, precision, data: new Int8Array(buffer, 0, rows * cols), scales };
}

async function readDescription(folder: string): Promise<{
  readonly precision: Precision;
  readonly cols: number;
  readonly fingerprint: string | undefined;
  readonly segments: readonly number[];
}> {
  const file = join(folder, description);
  const bytes = await readFile(file).catch((error: unknown) => {
    if (!isSystemError(error, 'ENOENT')) return guardIo('Reading', file, () => Promise.reject(error));
    const message = `${folder} contains no token vectors: it has no ${description}. Write some with writeMultiVectors().`;
    throw new SentvecError('invalid-output', message, { file: folder });
  });
  const json = parse(bytes.toString('utf8'), file);
  if (!isObject(json) || json['format'] !== format || json['version'] !== 1) throw damagedError(file);
  const { precision, cols, fingerprint, segments } = json;
  const isSize = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0;
  const known = (['float32', ...tokenPrecisions] as const).find((each) => each === precision);
  if (known === undefined || !isSize(cols) || !Array.isArray(segments) || !segments.every(isSize))
    throw damagedError(file);
  return {
    precision: known,
    cols,
    fingerprint: typeof fingerprint === 'string' ? fingerprint : undefined,
    segments,
  };
}

function parse(json: string, file: string): unknown {
  try {
    return JSON.parse(json) as unknown;
  } catch (cause) {
    throw damagedError(file, cause);
  }
}

function segmentName(index: number): string {
  return `segment-${String(index).padStart(5, '0')}.bin`;
}

function bytesOf({ buffer, byteOffset, byteLength }: Float32Array | Int8Array | Uint8Array | Uint32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

function damagedError(file: string, cause?: unknown): SentvecError {
  const message = `${file} is damagedError, or of another version. Write the token vectors again.`;
  return new SentvecError('invalid-output', message, { file }, { cause });
}
