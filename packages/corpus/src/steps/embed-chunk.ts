/** Embeds one chunk into its shard. */
import { SentvecError, throwIfAborted } from '@sentvec/core';
import { sha256 } from '@sentvec/platform';
import type { CorpusChunk } from '../chunk.ts';
import { locationIn } from '../location.ts';
import { shardName, type ShardFile } from '../manifest.ts';
import { readChunk } from '../rows/read-chunk.ts';
import { rejectRowByError, type RejectedRow } from '../rows/rejected-row.ts';
import type { Row } from '../rows/row.ts';
import { quantizeVectors, readCalibration } from '../run/calibration.ts';
import type { CorpusRun } from '../run/corpus-run.ts';
import { namesOfFiles } from '../run/file-names.ts';
import { findFinishedChunk, writeFinishedChunk, type FinishedChunk } from '../run/finished-chunk.ts';
import { runFolder, writeRunFile } from '../run/run-folder.ts';
import { takeOverChunk } from '../run/take-over.ts';
import { checkSpace, embedTextsOf, type CorpusEmbedder, type EmbeddedTexts } from '../run/space.ts';
import { hasPieceRows, pieceColumns } from '../request.ts';
import { columnsOfOutput, joinSparse, loadSink, storedCols, type Shard, type ShardLayout } from '../sinks/sink.ts';
import { embedTexts } from './embed-texts.ts';

/** The result of embedding a chunk. */
export interface ChunkResult {
  readonly index: number;
  readonly rows: number;
  readonly rejected: number;
  readonly truncated: number;
  readonly tokens: number;
  /** The chunk's share of the input's size. */
  readonly bytes: number;
  /** Whether the chunk was finished before, so nothing was computed. */
  readonly reused: boolean;
  /** The rejected rows; `rejected` is their number. */
  readonly rejectedRows: readonly RejectedRow[];
}

/** Options of {@link embedChunk}. */
export interface EmbedChunkOptions {
  readonly signal?: AbortSignal | undefined;
  /** Called from time to time with the progress of this chunk. */
  readonly onProgress?: ((progress: { readonly rows: number; readonly tokens: number }) => void) | undefined;
}

/**
 * Embeds one chunk and writes its shard atomically. The bytes depend only on the chunk, the run and the model, so any
 * process may repeat it at any time. A finished chunk is not computed again. A text that the model cannot embed becomes
 * a rejected row.
 *
 * @throws SentvecError `invalid-corpus` for a changed input and, if the run is strict, for the first rejected row;
 * `space-mismatch` for another model than that of the run; `invalid-output` when the run was committed or replaced;
 * `backend-failed`; `io-failed`; `aborted`
 */
export async function embedChunk(
  chunk: CorpusChunk,
  run: CorpusRun,
  embedder: CorpusEmbedder,
  options: EmbedChunkOptions = {},
): Promise<ChunkResult> {
  throwIfAborted(options.signal);
  // For Parquet, the plan has only a hash of the footer.
  const isPlanned = chunk.format !== 'parquet';
  const planned = isPlanned ? await findSameContent(run, chunk, chunk.content) : undefined;
  if (planned) return resultOf(planned, chunk, true);
  await checkSpace(run, embedder);
  const { textField, idField, columns, split } = run.options;
  const fields = { textField, idField, columns, idType: run.idType };
  const { rows, rejectedRows, content } = await readChunk(chunk, split, fields, options.signal);
  const finished = isPlanned ? undefined : await findSameContent(run, chunk, content);
  if (finished) return resultOf(finished, chunk, true);
  throwIfRejected(run, rejectedRows);
  const texts = rows.map(({ text }) => text);
  const { embedded, indices, failures } = await embedTexts(texts, (some) => embedSome(some, run, embedder, options));
  const failed = failures.map(({ index, error }) => rejectRowByError({ ...rows[index]!, file: chunk.input }, error));
  throwIfRejected(run, failed);
  throwIfAborted(options.signal);
  const embeddedRows = indices.map((index) => rows[index]!);
  const files = await writeShard(chunk, run, await shardOf(run, embeddedRows, embedded));
  const all = [...rejectedRows, ...failed].sort((a, b) => a.row - b.row);
  const pieces = hasPieceRows(run.options) ? embedded.pieces?.length : undefined;
  const receipt = { ...embedded.receipt, pieces };
  const done = finishedChunk({ ...chunk, content }, files, receipt, all, embedder.backend);
  await writeFinishedChunk(run, chunk.index, done);
  return resultOf(done, chunk, false);
}

/** Finds a finished chunk with the same content, of this run or of an earlier one. */
async function findSameContent(
  run: CorpusRun,
  chunk: CorpusChunk,
  content: string,
): Promise<FinishedChunk | undefined> {
  const finished = await findFinishedChunk(run, chunk);
  return finished?.shard.content === content ? finished : takeOverChunk(run, { ...chunk, content });
}

async function embedSome(
  texts: readonly string[],
  run: CorpusRun,
  embedder: CorpusEmbedder,
  options: EmbedChunkOptions,
): Promise<EmbeddedTexts> {
  try {
    return await embedTextsOf(embedder, texts, run.options, options);
  } catch (error) {
    // After an abort, the backend's error must not be attributed to a text.
    throwIfAborted(options.signal);
    throw error;
  }
}

function throwIfRejected({ strict }: CorpusRun, [first]: readonly RejectedRow[]): void {
  if (!strict || !first) return;
  const { file, row, line, code, reason } = first;
  const position = line === undefined ? `row ${row}` : `row ${row} (line ${line})`;
  const remedy = 'Correct the row, or remove `strict` so that such rows are only listed in the output folder.';
  const details = { file, row, line, rejectedRow: code };
  throw new SentvecError('invalid-corpus', `${file}, ${position} has no vector. ${reason} ${remedy}`, details);
}

async function shardOf(run: CorpusRun, rows: readonly Row[], { vectors, pieces }: EmbeddedTexts): Promise<Shard> {
  const { precision, columns, textField } = run.options;
  const stored =
    'cols' in vectors ? quantizeVectors(vectors, precision, await readCalibration(run)) : joinSparse(vectors);
  if (!pieces || !hasPieceRows(run.options)) {
    const values = columns.map((_, index) => rows.map((row) => row.values[index]));
    return { ids: rows.map(({ id }) => id), vectors: stored, columns: values };
  }
  const values = columns.map((column, index) =>
    pieces.map(({ row, text }) => (column === textField ? text : rows[row]!.values[index])),
  );
  const positions = pieceColumns.map((column) => pieces.map((piece) => piece[column]));
  return { ids: pieces.map(({ row }) => rows[row]!.id), vectors: stored, columns: [...values, ...positions] };
}

/** The layout of all shards of a run. */
function layoutOf({ options, idType, space }: CorpusRun): ShardLayout {
  const metadata = {
    'sentvec.model': space.model,
    'sentvec.fingerprint': space.fingerprint,
    'sentvec.precision': options.precision,
  };
  const cols = storedCols(options.precision, space.dimension);
  const sparse = space.kind === 'sparse';
  return { precision: options.precision, idType, sparse, cols, ...columnsOfOutput(options), metadata };
}

async function writeShard(chunk: CorpusChunk, run: CorpusRun, shard: Shard): Promise<ShardFile[]> {
  const sink = await loadSink(run.options.format);
  const contents = await sink.encode(shard, layoutOf(run));
  const folder = runFolder(run);
  const hashes = await Promise.all(contents.map((bytes) => sha256(bytes)));
  const plain = contents.map((_, index) => `${shardName(chunk.index)}${sink.endings[index]!}`);
  const names = await namesOfFiles(run, plain, hashes);
  const files: ShardFile[] = [];
  for (const [index, bytes] of contents.entries()) {
    const file = names[index]!;
    await writeRunFile(folder, locationIn(run.output, file), bytes);
    files.push({ file, bytes: bytes.byteLength, sha256: hashes[index]! });
  }
  return files;
}

function finishedChunk(
  { input, firstRow, firstInputRow, rows, firstLine, content }: CorpusChunk,
  [main, companion]: readonly ShardFile[],
  receipt: EmbeddedTexts['receipt'] & { readonly pieces?: number | undefined },
  rejectedRows: readonly RejectedRow[],
  backend: string | undefined,
): FinishedChunk {
  const counts = {
    firstRow,
    content,
    rows: receipt.rows,
    ...(receipt.pieces !== undefined && { pieces: receipt.pieces }),
    rejected: rejectedRows.length,
    truncated: receipt.truncated.length,
    tokens: receipt.tokens,
  };
  const shard = { ...main!, ...counts, ...(backend && { backend }), ...(companion && { companion }) };
  return { chunk: { input, firstRow, firstInputRow, rows, firstLine }, shard, rejectedRows };
}

function resultOf({ shard, rejectedRows }: FinishedChunk, { index, bytes }: CorpusChunk, reused: boolean): ChunkResult {
  const { rows, rejected, truncated, tokens } = shard;
  return { index, rows, rejected, truncated, tokens, bytes, reused, rejectedRows };
}
