import { join } from 'node:path';
import { SentvecError, throwIfAborted, type Embedded, type Embedder } from '@sentvec/core';
import type { CorpusChunk } from '../chunk.ts';
import { writeAtomically } from '../files/atomic-write.ts';
import { isSystemError } from '../files/io-error.ts';
import { sha256 } from '../files/sha256.ts';
import type { ShardFile } from '../manifest.ts';
import { rejectionOf, type Rejection } from '../rejection.ts';
import { readChunk } from '../rows/read-rows.ts';
import { reject, type Row } from '../rows/row.ts';
import { quantizeVectors, readCalibration } from '../run/calibration.ts';
import { notOpen, type CorpusRun } from '../run/corpus-run.ts';
import { runFolder } from '../run/run-folder.ts';
import { readFinishedShard, shardName, writeShardRecord, type ShardRecord } from '../run/shard-record.ts';
import { checkSpace, embedOptions } from '../run/space.ts';
import { storedCols, type Shard, type ShardLayout } from '../sinks/sink.ts';
import { loadSink } from '../sinks/sinks.ts';
import { embedTexts } from './embed-texts.ts';

/** What a chunk gave. */
export interface ChunkResult {
  readonly index: number;
  readonly rows: number;
  readonly rejected: number;
  readonly truncated: number;
  readonly tokens: number;
  /** The chunk's share of the input's size. */
  readonly bytes: number;
  /** The chunk was finished already: nothing was computed. */
  readonly reused: boolean;
  /** The rows without a vector; `rejected` is their number. */
  readonly rejections: readonly Rejection[];
}

/** Options of {@link embedChunk}. */
export interface EmbedChunkOptions {
  readonly signal?: AbortSignal | undefined;
  /** Called now and then with what is embedded of this chunk. */
  readonly onProgress?: ((progress: { readonly rows: number; readonly tokens: number }) => void) | undefined;
}

/**
 * Embeds one chunk and writes its shard: whole, or not at all. The bytes depend on the chunk, the run and the model
 * alone, so it may be called again, by anybody, at any time; a chunk that is finished already is not computed again. A
 * text that the model cannot embed is left out and recorded.
 *
 * @throws SentvecError `invalid-corpus` for an input that has changed and, when the run is strict, for the first row
 * without a vector; `space-mismatch` for another model than that of the run; `invalid-output` when the run is no longer
 * open; `backend-failed`, `io-failed`, `aborted`
 */
export async function embedChunk(
  chunk: CorpusChunk,
  run: CorpusRun,
  embedder: Embedder,
  options: EmbedChunkOptions = {},
): Promise<ChunkResult> {
  throwIfAborted(options.signal);
  const finished = await readFinishedShard(run, chunk);
  if (finished) return resultOf(finished, chunk, true);
  await checkSpace(run, embedder);
  const { textField, idField, columns, split } = run.options;
  const { rows, rejections } = await readChunk(chunk, split, { textField, idField, columns, idType: run.idType });
  throwIfRejected(run, rejections);
  const texts = rows.map(({ text }) => text);
  const { embedded, kept, failures } = await embedTexts(texts, (some) => embedSome(some, run, embedder, options));
  const failed = failures.map(({ index, error }) => rejectRow(chunk, rows[index]!, error));
  throwIfRejected(run, failed);
  throwIfAborted(options.signal);
  const embeddedRows = kept.map((index) => rows[index]!);
  const files = await writeShard(chunk, run, await shardOf(run, embeddedRows, embedded));
  const record = recordOf(
    chunk,
    files,
    embedded,
    [...rejections, ...failed].sort((a, b) => a.row - b.row),
  );
  await openStill(run, () => writeShardRecord(run, chunk.index, record));
  return resultOf(record, chunk, false);
}

async function embedSome(
  texts: readonly string[],
  run: CorpusRun,
  embedder: Embedder,
  options: EmbedChunkOptions,
): Promise<Embedded> {
  try {
    return await embedder.embed(texts, { ...embedOptions(run.options), ...options });
  } catch (error) {
    // What a backend throws when it is told to stop must not be taken for a fault of a text.
    throwIfAborted(options.signal);
    throw error;
  }
}

function rejectRow(chunk: CorpusChunk, { sourceRow, line }: Row, error: unknown): Rejection {
  const { code, reason } = rejectionOf(error);
  return reject({ file: chunk.source, sourceRow, ...(line !== undefined && { line }) }, code, reason);
}

function throwIfRejected({ strict }: CorpusRun, [first]: readonly Rejection[]): void {
  if (!strict || !first) return;
  const { file, row, line, code, reason } = first;
  const place = line === undefined ? `row ${row}` : `row ${row} (line ${line})`;
  const remedy = 'Correct it, or leave out --strict to have such rows listed in rejected.jsonl.';
  throw new SentvecError('invalid-corpus', `${file}, ${place} has no vector. ${reason} ${remedy}`, {
    file,
    row,
    line,
    rejection: code,
  });
}

async function shardOf(run: CorpusRun, rows: readonly Row[], { vectors }: Embedded): Promise<Shard> {
  const { precision, columns } = run.options;
  return {
    ids: rows.map(({ id }) => id),
    vectors: quantizeVectors(vectors, precision, await readCalibration(run)),
    columns: columns.map((_, index) => rows.map(({ values }) => values[index])),
  };
}

/** What all shards of a run have in common. */
function layoutOf({ options, idType, space }: CorpusRun): ShardLayout {
  const metadata = {
    'sentvec.model': space.model,
    'sentvec.fingerprint': space.fingerprint,
    'sentvec.precision': options.precision,
  };
  const cols = storedCols(options.precision, space.dimension);
  return { precision: options.precision, idType, cols, columnNames: options.columns, metadata };
}

async function writeShard(chunk: CorpusChunk, run: CorpusRun, shard: Shard): Promise<ShardFile[]> {
  const sink = await loadSink(run.options.format);
  const contents = await sink.encode(shard, layoutOf(run));
  const files: ShardFile[] = [];
  for (const [index, bytes] of contents.entries()) {
    const file = shardName(chunk.index) + sink.endings[index]!;
    await openStill(run, () =>
      writeAtomically(join(run.output, file), bytes, runFolder(run.output, run.key).temporary),
    );
    files.push({ file, bytes: bytes.byteLength, sha256: sha256(bytes) });
  }
  return files;
}

/** Writing fails for want of a folder when somebody else has committed or replaced the run meanwhile. */
async function openStill(run: CorpusRun, write: () => Promise<void>): Promise<void> {
  try {
    await write();
  } catch (error) {
    throw SentvecError.is(error, 'io-failed') && isSystemError(error.cause, 'ENOENT') ? notOpen(run.output) : error;
  }
}

function recordOf(
  chunk: CorpusChunk,
  [main, companion]: ShardFile[],
  { receipt }: Embedded,
  rejections: readonly Rejection[],
): ShardRecord {
  const { source, firstRow, rows, start, end } = chunk;
  const counts = {
    firstRow,
    rows: receipt.rows,
    rejected: rejections.length,
    truncated: receipt.truncated.length,
    tokens: receipt.tokens,
  };
  return {
    chunk: { source, firstRow, rows, start, end },
    entry: { ...main!, ...counts, ...(companion && { companion }) },
    rejections,
  };
}

function resultOf({ entry, rejections }: ShardRecord, { index, bytes }: CorpusChunk, reused: boolean): ChunkResult {
  const { rows, rejected, truncated, tokens } = entry;
  return { index, rows, rejected, truncated, tokens, bytes, reused, rejections };
}
