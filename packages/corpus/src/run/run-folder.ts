import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

const prefix = '.unfinished-';

/** Where a run keeps what it needs until it is committed: a folder within the output folder. */
export interface RunFolder {
  readonly root: string;
  /** The run itself: see {@link CorpusRun}. Written when everything before the first chunk is done. */
  readonly run: string;
  readonly sources: string;
  readonly calibration: string;
  /** Written when the plan has reached its end. */
  readonly plan: string;
  /** Unpacked copies of inputs. */
  readonly unpacked: string;
  /** A record for each finished chunk. */
  readonly chunks: string;
  /** Files that are being written. */
  readonly temporary: string;
}

/**
 * The folder of the run with this key. Runs with other keys never touch it, so a worker that wakes up late cannot spoil
 * another run.
 */
export function runFolder(output: string, key: string): RunFolder {
  const root = join(output, prefix + key);
  return {
    root,
    run: join(root, 'run.json'),
    sources: join(root, 'sources.json'),
    calibration: join(root, 'calibration.json'),
    plan: join(root, 'plan.json'),
    unpacked: join(root, 'unpacked'),
    chunks: join(root, 'chunks'),
    temporary: join(root, 'temporary'),
  };
}

/** Keys of the runs in an output folder that are not committed. */
export async function unfinishedRuns(output: string): Promise<string[]> {
  const names = await readdir(output).catch(() => []);
  return names.filter(isRunFolder).map((name) => name.slice(prefix.length));
}

/** Whether an entry of an output folder belongs to a run that is not committed. */
export function isRunFolder(name: string): boolean {
  return name.startsWith(prefix);
}
