/** The record of a finished chunk, which is stored until the run is committed: its shard and its rejected rows. */
import { sha256 } from '@sentvec/platform';
import { isStorageUri } from '@sentvec/storage';
import * as v from 'valibot';
import type { CorpusChunk } from '../chunk.ts';
import { locationIn, readLocation, sizeOfLocation } from '../location.ts';
import { jsonSchemas } from '../json-file.ts';
import { filesOf, manifestSchemas, sortableNumber, type ShardEntry, type ShardFile } from '../manifest.ts';
import type { RejectedRow, RejectedRowCode } from '../rows/rejected-row.ts';
import type { CorpusRun } from './corpus-run.ts';
import { readRunFile, runFolder, writeRunFile } from './run-folder.ts';
import { checkStoredRun } from './stored-output.ts';

/** The stored record of a finished chunk. JSON. */
export interface FinishedChunk {
  /**
   * The position of its rows; `shard.content` is the hash of their content. `firstLine` is absent if an earlier run
   * made the shard.
   */
  readonly chunk: Pick<CorpusChunk, 'input' | 'firstRow' | 'firstInputRow' | 'rows'> & {
    readonly firstLine?: number | undefined;
  };
  readonly shard: Omit<ShardEntry, 'input'>;
  readonly rejectedRows: readonly RejectedRow[];
}

/**
 * Finds the first file of a shard that is missing or damaged: by its size, and with `verify` also by its hash.
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

/** Checks a file of a shard against its entry. @throws SentvecError `io-failed` */
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

/** Reads the record of a chunk. @throws SentvecError `invalid-output` for a damaged file; `io-failed` */
export async function readFinishedChunk(run: CorpusRun, index: number): Promise<FinishedChunk | undefined> {
  return readRunFile(chunkPath(run, index), finishedChunkSchema);
}

/**
 * Reads the record of a chunk, if its shard is complete and the rows had the same positions. Compare `shard.content` to
 * find out whether their content is the same too.
 *
 * @throws SentvecError `invalid-output` for a damaged file, `io-failed`
 */
export async function findFinishedChunk(run: CorpusRun, chunk: CorpusChunk): Promise<FinishedChunk | undefined> {
  const finished = await readFinishedChunk(run, chunk.index);
  if (finished === undefined || !isInSamePlace(finished, chunk)) return undefined;
  return (await findDamagedFile(run.output, finished.shard)) ? undefined : finished;
}

/**
 * Marks a chunk as finished. Its shard must have been written before.
 *
 * @throws SentvecError `invalid-output` when the run was committed or replaced; `io-failed`
 */
export async function writeFinishedChunk(run: CorpusRun, index: number, finished: FinishedChunk): Promise<void> {
  const path = chunkPath(run, index);
  await writeRunFile(runFolder(run), path, JSON.stringify(finished));
  if (isStorageUri(run.output)) await checkStoredRun(run, path, finished.shard);
}

function chunkPath(run: CorpusRun, index: number): string {
  return locationIn(runFolder(run).chunks, chunkFile(index));
}

/** Name of a chunk's record in the folder of a run. */
export function chunkFile(index: number): string {
  return `${sortableNumber(index)}.json`;
}

/**
 * Whether the rows have the same positions. Lines are compared only if there are rejected rows, which contain line
 * numbers.
 */
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

/** The schema of a rejected row. */
export const rejectedRowSchema: v.GenericSchema<RejectedRow> = v.object({
  file: v.string(),
  row: count,
  line: v.optional(count),
  code: v.string() as v.GenericSchema<RejectedRowCode>,
  reason: v.string(),
});

/** The schema of a finished chunk. */
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
