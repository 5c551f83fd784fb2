import { join } from 'node:path';
import { stat } from 'node:fs/promises';
import type { CorpusChunk } from '../chunk.ts';
import { flushFolder, writeAtomically } from '../files/atomic-write.ts';
import type { ShardEntry } from '../manifest.ts';
import type { Rejection } from '../rejection.ts';
import { readJson, type CorpusRun } from './corpus-run.ts';
import { runFolder } from './run-folder.ts';

/** What is remembered of a finished chunk until the run is committed. JSON. */
export interface ShardRecord {
  /** Which chunk it was: an equal chunk need not be computed again. */
  readonly chunk: Pick<CorpusChunk, 'source' | 'firstRow' | 'rows'> & Partial<Pick<CorpusChunk, 'start' | 'end'>>;
  readonly entry: Omit<ShardEntry, 'input'>;
  readonly rejections: readonly Rejection[];
}

/** Name of a chunk's shard, without the ending. */
export function shardName(index: number): string {
  return `shard-${String(index).padStart(5, '0')}`;
}

/**
 * The record of a chunk, when its shard is there in full and was made of just this chunk. @throws SentvecError
 * `io-failed`
 */
export async function readFinishedShard(run: CorpusRun, chunk: CorpusChunk): Promise<ShardRecord | undefined> {
  const record = await readShardRecord(run, chunk.index);
  if (record === undefined || !isOf(record.chunk, chunk)) return undefined;
  const { entry } = record;
  for (const { file, bytes } of entry.companion ? [entry, entry.companion] : [entry]) {
    const size = await stat(join(run.output, file)).then(
      (stats) => stats.size,
      () => undefined,
    );
    if (size !== bytes) return undefined;
  }
  return record;
}

/** @throws SentvecError `io-failed` */
export async function readShardRecord(run: CorpusRun, index: number): Promise<ShardRecord | undefined> {
  return readJson<ShardRecord>(recordPath(run, index));
}

/** Marks a chunk as finished: its shard must be in place already. @throws SentvecError `io-failed` */
export async function writeShardRecord(run: CorpusRun, index: number, record: ShardRecord): Promise<void> {
  await flushFolder(run.output);
  await writeAtomically(recordPath(run, index), JSON.stringify(record), runFolder(run.output, run.key).temporary);
}

function recordPath(run: CorpusRun, index: number): string {
  return join(runFolder(run.output, run.key).chunks, `${String(index).padStart(5, '0')}.json`);
}

function isOf(recorded: ShardRecord['chunk'], chunk: CorpusChunk): boolean {
  return (
    recorded.source === chunk.source &&
    recorded.firstRow === chunk.firstRow &&
    recorded.rows === chunk.rows &&
    (recorded.start ?? chunk.start) === chunk.start &&
    (recorded.end ?? chunk.end) === chunk.end
  );
}
