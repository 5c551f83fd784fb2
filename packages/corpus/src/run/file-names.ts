/** The names of the files that a run writes into its output folder. */
import { SentvecError } from '@sentvec/core';
import { canonicalJson, sha256 } from '@sentvec/platform';
import { isStorageUri } from '@sentvec/storage';
import { filesOf, readManifest, rejectedFileOf } from '../manifest.ts';
import { shardsOf } from '../manifest-parts.ts';
import type { CorpusRun } from './corpus-run.ts';

/**
 * The names of the files of a shard. In a local folder they are plain, such as `shard-00000.parquet`, unless the
 * current manifest lists a different file of this name, which readers need until the run replaces it. In this case, and
 * always in a store, where a delayed write of a dead worker cannot be prevented, the name has 16 digits of a content
 * hash: `shard-00000.0c1c1cbc28a4d154.parquet`.
 *
 * @param hashes SHA-256 of the files, hexadecimal
 * @throws SentvecError `invalid-output` for a damaged manifest; `io-failed`
 */
export async function namesOfFiles(
  run: CorpusRun,
  plain: readonly string[],
  hashes: readonly string[],
): Promise<string[]> {
  if (!isStorageUri(run.output)) {
    const listed = await earlierHashes(run);
    const isFree = (name: string, index: number): boolean => (listed.get(name) ?? hashes[index]) === hashes[index];
    if (plain.every(isFree)) return [...plain];
  }
  const content = (await sha256(canonicalJson(hashes))).slice(0, 16);
  return plain.map((name) => name.replace('.', `.${content}.`));
}

/** Removes the content hash from a name of {@link namesOfFiles}. */
export function plainName(name: string): string {
  return name.replace(/^([\w-]+)\.[0-9a-f]{16}\./u, '$1.');
}

/**
 * Cache of the files that the current manifest lists. All chunks of a run need it, and it does not change during the
 * run.
 */
let known: { readonly key: string; readonly hashes: Promise<ReadonlyMap<string, string>> } | undefined;

function earlierHashes(run: CorpusRun): Promise<ReadonlyMap<string, string>> {
  if (known?.key !== run.key) known = { key: run.key, hashes: readHashes(run.output) };
  return known.hashes;
}

async function readHashes(output: string): Promise<ReadonlyMap<string, string>> {
  const manifest = await readManifest(output);
  if (!manifest?.complete) return new Map();
  const hashes = new Map<string, string>();
  try {
    for await (const shard of shardsOf(output, manifest))
      for (const { file, sha256: hash } of filesOf(shard)) hashes.set(file, hash);
  } catch (error) {
    // What a damaged part lists, no reader finds.
    if (!SentvecError.is(error, 'invalid-output')) throw error;
  }
  const rejected = rejectedFileOf(manifest);
  // Manifests of earlier versions have no hash of this file.
  if (rejected !== undefined) hashes.set(rejected, manifest.rejectedRows?.sha256 ?? 'unknown');
  return hashes;
}
