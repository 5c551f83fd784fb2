/** The names of the files that a run writes into its output folder. */
import { canonicalJson, sha256 } from '@sentvec/platform';
import { isStorageUri } from '@sentvec/storage';
import { filesOf, readManifest, rejectedFileOf } from '../manifest.ts';
import type { CorpusRun } from './corpus-run.ts';

/**
 * Names of files that belong together. In a folder they are the plain ones, `shard-00000.parquet`, unless the manifest
 * that the run will replace lists another file of such a name, which readers need until then. Then, and always in a
 * store, where a late write cannot be held back, they have 16 digits that say what is in the files:
 * `shard-00000.0c1c1cbc28a4d154.parquet`.
 *
 * @param hashes of the files, hexadecimal
 * @throws SentvecError `invalid-output` for a damaged manifest, `io-failed`
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

/** The plain form of a name that {@link namesOfFiles} gave. */
export function plainName(name: string): string {
  return name.replace(/^([\w-]+)\.[0-9a-f]{16}\./u, '$1.');
}

/** What the manifest in an output folder lists, while the run is open. All chunks of a run need it. */
let known: { readonly key: string; readonly hashes: Promise<ReadonlyMap<string, string>> } | undefined;

function earlierHashes(run: CorpusRun): Promise<ReadonlyMap<string, string>> {
  if (known?.key !== run.key) known = { key: run.key, hashes: readHashes(run.output) };
  return known.hashes;
}

async function readHashes(output: string): Promise<ReadonlyMap<string, string>> {
  const manifest = await readManifest(output);
  if (!manifest?.complete) return new Map();
  const hashes = new Map(manifest.shards.flatMap(filesOf).map(({ file, sha256: hash }) => [file, hash]));
  const rejected = rejectedFileOf(manifest);
  // Earlier versions did not store its hash.
  if (rejected !== undefined) hashes.set(rejected, manifest.rejectedRows?.sha256 ?? 'unknown');
  return hashes;
}
