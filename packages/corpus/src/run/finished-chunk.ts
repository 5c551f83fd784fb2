/** What is stored about a finished chunk until the run is committed: its shard, and its rejected rows. */
import { sha256 } from '@sentvec/platform';
import { isStorageUri } from '@sentvec/storage';
import * as v from 'valibot';
import type { CorpusChunk } from '../chunk.ts';
import { locationIn, readLocation, sizeOfLocation } from '../location.ts';
import { jsonSchemas } from '../json-file.ts';
import { filesOf, manifestSchemas, type ShardEntry, type ShardFile } from '../manifest.ts';
import type { RejectedRow, RejectedRowCode } from '../rows/rejected-row.ts';
import type { CorpusRun } from './corpus-run.ts';
import { readRunFile, runFolder, writeRunFile } from './run-folder.ts';
import { checkStoredRun } from './stored-output.ts';

/** A finished chunk, as it is stored in JSON. */
export interface FinishedChunk {
  /**
   * Where its rows are; `shard.content` is the hash of what they are. Without `firstLine` when an earlier run made the
   * shard.
   */
  readonly chunk: Pick<CorpusChunk, 'input' | 'firstRow' | 'firstInputRow' | 'rows'> & {
    readonly firstLine?: number | undefined;
  };
  readonly shard: Omit<ShardEntry, 'input'>;
  readonly rejectedRows: readonly RejectedRow[];
}

/** Name of a chunk's shard, without the ending. */
export function shardName(index: number): string {
  return `shard-${fiveDigits(index)}`;
}

/**
 * The first file of a shard that is not there as its entry says, if any: by its size, and with `verify` by its hash.
 *
 * @throws SentvecError `io-failed`
 */
export async function findDamagedFile(
  output: string,
  shard: Omit<ShardEntry, 'input'>,
  verify = false,
): Promise<{ readonly file: string; readonly state: 'missing' | 'damaged' } | undefined> {
  for (const file of filesOf(shard)) {
    const state = await stateOfFile(output, file, verify);
    if (state !== 'intact') return { file: file.file, state };
  }
  return undefined;
}

/** Whether a file of a shard is there as its entry says. @throws SentvecError `io-failed` */
export async function stateOfFile(
  output: string,
  { file, bytes, sha256: expected }: ShardFile,
  verify: boolean,
): Promise<'intact' | 'missing' | 'damaged'> {
  const path = locationIn(output, file);
  const size = await sizeOfLocation(path);
  if (size !== bytes) return size === undefined ? 'missing' : 'damaged';
  if (!verify) return 'intact';
  const content = await readLocation(path);
  if (content === undefined) return 'missing';
  return (await sha256(content)) === expected ? 'intact' : 'damaged';
}

/** What is stored about a chunk. @throws SentvecError `invalid-output` for a damaged file, `io-failed` */
export async function readFinishedChunk(run: CorpusRun, index: number): Promise<FinishedChunk | undefined> {
  return readRunFile(chunkPath(run, index), finishedChunkSchema);
}

/**
 * What is stored about a chunk, when its shard is complete and was made from rows in the same places. Compare
 * `shard.content` to know whether the rows are the same.
 *
 * @throws SentvecError `invalid-output` for a damaged file, `io-failed`
 */
export async function findFinishedChunk(run: CorpusRun, chunk: CorpusChunk): Promise<FinishedChunk | undefined> {
  const finished = await readFinishedChunk(run, chunk.index);
  if (finished === undefined || !isInSamePlace(finished, chunk)) return undefined;
  return (await findDamagedFile(run.output, finished.shard)) ? undefined : finished;
}

/**
 * Marks a chunk as finished: its shard must be in place already.
 *
 * @throws SentvecError `invalid-output` when the run is no longer open, `io-failed`
 */
export async function writeFinishedChunk(run: CorpusRun, index: number, finished: FinishedChunk): Promise<void> {
  const path = chunkPath(run, index);
  await writeRunFile(runFolder(run), path, JSON.stringify(finished));
  if (isStorageUri(run.output)) await checkStoredRun(run, path, finished.shard);
}

function chunkPath(run: CorpusRun, index: number): string {
  return locationIn(runFolder(run).chunks, chunkFile(index));
}

/** Name of the file of a finished chunk in the folder of chunks of a run. */
export function chunkFile(index: number): string {
  return `${fiveDigits(index)}.json`;
}

function fiveDigits(index: number): string {
  return String(index).padStart(5, '0');
}

/** Whether rows are in the same place. The line matters to rejected rows only, which name it. */
export function isInSamePlace({ chunk: finished, rejectedRows }: FinishedChunk, chunk: CorpusChunk): boolean {
  return (
    finished.input === chunk.input &&
    finished.firstRow === chunk.firstRow &&
    finished.firstInputRow === chunk.firstInputRow &&
    finished.rows === chunk.rows &&
    (rejectedRows.length === 0 || (finished.firstLine ?? chunk.firstLine) === chunk.firstLine)
  );
}

const { count } = jsonSchemas;

/** The form of a rejected row. */
export const rejectedRowSchema: v.GenericSchema<RejectedRow> = v.object({
  file: v.string(),
  row: count,
  line: v.optional(count),
  code: v.string() as v.GenericSchema<RejectedRowCode>,
  reason: v.string(),
});

/** The form of a finished chunk. */
export const finishedChunkSchema: v.GenericSchema<FinishedChunk> = v.object({
  chunk: v.object({
    input: v.string(),
    firstRow: count,
    firstInputRow: count,
    rows: count,
    firstLine: v.optional(count),
  }),
  shard: manifestSchemas.shard,
  rejectedRows: v.array(rejectedRowSchema),
});
