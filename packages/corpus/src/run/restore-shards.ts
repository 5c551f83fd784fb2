import type { Manifest } from '../manifest.ts';
import type { CorpusRun } from './corpus-run.ts';
import { writeShardRecord } from './shard-record.ts';

/**
 * Takes over the shards of a finished run that have no rejected rows, so that only the others are computed again. Which
 * rows they hold is known by their numbers; bytes may have moved when a rejected row was corrected.
 *
 * @throws SentvecError `io-failed`
 */
export async function restoreCleanShards(run: CorpusRun, manifest: Manifest): Promise<void> {
  for (const [index, { input, ...entry }] of manifest.shards.entries()) {
    if (entry.rejected > 0) continue;
    const chunk = { source: manifest.inputs[input]!.file, firstRow: entry.firstRow, rows: entry.rows };
    await writeShardRecord(run, index, { chunk, entry, rejections: [] });
  }
}
