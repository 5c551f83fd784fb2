/** What is stored about a finished chunk until the run is committed: its shard, and its rejected rows. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import type { CorpusChunk } from '../chunk.ts';
import { jsonSchemas } from '../json-file.ts';
import { manifestSchemas, type Manifest, type ShardEntry, type ShardFile } from '../manifest.ts';
import type { RejectedRow, RejectedRowCode } from '../rows/rejected-row.ts';
import type { CorpusRun } from './corpus-run.ts';
import { readRunFile, runFolder, writeRunFile } from './run-folder.ts';

/** A finished chunk. JSON. */
export interface FinishedChunk {
  /**
   * Which chunk it was: an equal chunk need not be computed again. Shards that were taken over have no range of bytes.
   */
  readonly chunk: Pick<CorpusChunk, 'input' | 'firstRow' | 'rows'> & {
    readonly start?: number | undefined;
    readonly end?: number | undefined;
  };
  readonly shard: Omit<ShardEntry, 'input'>;
  readonly rejectedRows: readonly RejectedRow[];
}

/** Name of a chunk's shard, without the ending. */
export function shardName(index: number): string {
  return `shard-${fiveDigits(index)}`;
}

/** The files of a shard. */
export function filesOf(shard: Omit<ShardEntry, 'input'>): readonly ShardFile[] {
  return shard.companion ? [shard, shard.companion] : [shard];
}

/** The first file of a shard that is not there in full, if any. */
export async function findIncompleteFile(
  output: string,
  shard: Omit<ShardEntry, 'input'>,
): Promise<{ readonly file: string; readonly state: 'missing' | 'damaged' } | undefined> {
  for (const { file, bytes } of filesOf(shard)) {
    const stats = await stat(join(output, file)).catch(() => undefined);
    if (stats?.size !== bytes) return { file, state: stats ? 'damaged' : 'missing' };
  }
  return undefined;
}

/** What is stored about a chunk. @throws SentvecError `invalid-output` for a damaged file, `io-failed` */
export async function readFinishedChunk(run: CorpusRun, index: number): Promise<FinishedChunk | undefined> {
  return readRunFile(chunkPath(run, index), finishedChunkSchema);
}

/**
 * What is stored about a chunk, when its shard is there in full and was made from just this chunk.
 *
 * @throws SentvecError `invalid-output` for a damaged file, `io-failed`
 */
export async function findFinishedChunk(run: CorpusRun, chunk: CorpusChunk): Promise<FinishedChunk | undefined> {
  const finished = await readFinishedChunk(run, chunk.index);
  if (finished === undefined || !isSameChunk(finished.chunk, chunk)) return undefined;
  return (await findIncompleteFile(run.output, finished.shard)) ? undefined : finished;
}

/**
 * Marks a chunk as finished: its shard must be in place already.
 *
 * @throws SentvecError `invalid-output` when the run is no longer open, `io-failed`
 */
export async function writeFinishedChunk(run: CorpusRun, index: number, finished: FinishedChunk): Promise<void> {
  await writeRunFile(run, chunkPath(run, index), JSON.stringify(finished));
}

/**
 * Takes over the shards of a finished run that have no rejected rows, so that only the others are computed again. Their
 * rows are known by their numbers; bytes may have moved when a rejected row was corrected.
 *
 * @throws SentvecError `io-failed`
 */
export async function takeOverShards(run: CorpusRun, { inputs, shards }: Manifest): Promise<void> {
  for (const [index, { input, ...shard }] of shards.entries()) {
    const file = inputs[input]?.file;
    if (shard.rejected > 0 || file === undefined) continue;
    const chunk = { input: file, firstRow: shard.firstRow, rows: shard.rows };
    await writeFinishedChunk(run, index, { chunk, shard, rejectedRows: [] });
  }
}

function chunkPath({ output, key }: CorpusRun, index: number): string {
  return join(runFolder(output, key).chunks, `${fiveDigits(index)}.json`);
}

function fiveDigits(index: number): string {
  return String(index).padStart(5, '0');
}

function isSameChunk(finished: FinishedChunk['chunk'], chunk: CorpusChunk): boolean {
  return (
    finished.input === chunk.input &&
    finished.firstRow === chunk.firstRow &&
    finished.rows === chunk.rows &&
    (finished.start ?? chunk.start) === chunk.start &&
    (finished.end ?? chunk.end) === chunk.end
  );
}

const { count } = jsonSchemas;

const rejectedRow: v.GenericSchema<RejectedRow> = v.object({
  file: v.string(),
  row: count,
  line: v.optional(count),
  code: v.string() as v.GenericSchema<RejectedRowCode>,
  reason: v.string(),
});

const finishedChunkSchema: v.GenericSchema<FinishedChunk> = v.object({
  chunk: v.object({
    input: v.string(),
    firstRow: count,
    rows: count,
    start: v.optional(count),
    end: v.optional(count),
  }),
  shard: manifestSchemas.shard,
  rejectedRows: v.array(rejectedRow),
});
