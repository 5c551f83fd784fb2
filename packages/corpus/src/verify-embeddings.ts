/** Checks the files of an output folder against its manifest. */
import { SentvecError, throwIfAborted } from '@sentvec/core';
import { inOrder } from '@sentvec/platform';
import { ioError } from '@sentvec/platform/node';
import { streamFile } from './inputs/unpack-input.ts';
import { callsAtOnce, isMissing, locationIn } from './location.ts';
import {
  filesOf,
  isSameOutput,
  manifestFile,
  readManifest,
  rejectedFileOf,
  type Manifest,
  type ManifestPart,
  type ShardFile,
} from './manifest.ts';
import { shardsOf, shardTotals } from './manifest-parts.ts';
import { stateOfFile } from './run/finished-chunk.ts';

/** A file of an output folder that is missing or does not match the manifest. */
export interface DamagedFile {
  /** Name in the folder. */
  readonly file: string;
  /** `damaged`: the size or the hash differs from the manifest. */
  readonly problem: 'missing' | 'damaged';
}

/** The result of {@link verifyEmbeddings}. */
export interface Verification {
  readonly manifest: Manifest;
  /** Number of files and bytes that the manifest lists. */
  readonly files: number;
  readonly bytes: number;
  readonly damaged: readonly DamagedFile[];
}

/** Options of {@link verifyEmbeddings}. */
export interface VerifyOptions {
  readonly signal?: AbortSignal | undefined;
  /** Called after each file, with the bytes checked so far and those of all files. */
  readonly onProgress?: ((progress: { readonly bytes: number; readonly totalBytes: number }) => void) | undefined;
}

/**
 * Checks the size and the hash of every file of a finished output folder against the manifest. It changes nothing; to
 * rewrite damaged shards, use `resume` with `verify`. If the output is replaced meanwhile, the new output is checked.
 *
 * @throws SentvecError `invalid-output` when there is no complete manifest; `io-failed`; `aborted`
 */
export async function verifyEmbeddings(directory: string, options: VerifyOptions = {}): Promise<Verification> {
  const manifest = await readFinishedManifest(directory);
  const { parts = [], rejectedRows } = manifest;
  const totalBytes = parts.reduce(
    (sum, { bytes }) => sum + bytes,
    shardTotals(manifest).bytes + (rejectedRows?.bytes ?? 0),
  );
  const damaged: DamagedFile[] = [];
  let files = 0;
  let checked = 0;
  for await (const { file, bytes, problem } of checkOutputFiles(directory, manifest, { ...options, verify: true })) {
    if (problem) damaged.push({ file, problem });
    files += 1;
    checked += bytes;
    options.onProgress?.({ bytes: checked, totalBytes });
  }
  if (damaged.length > 0 && !isSameOutput(manifest, await readManifest(directory)))
    return verifyEmbeddings(directory, options);
  return { manifest, files, bytes: totalBytes, damaged };
}

/** Reads the manifest of a finished folder. @throws SentvecError `invalid-output`; `io-failed` */
export async function readFinishedManifest(directory: string): Promise<Manifest> {
  const manifest = await readManifest(directory);
  if (manifest?.complete) return manifest;
  const [problem, remedy] =
    manifest === undefined
      ? [
          `There are no embeddings in ${directory}: it has no ${manifestFile}.`,
          'Create them with `sentvec embed` or embedCorpus().',
        ]
      : [`The embeddings in ${directory} are not complete.`, 'Continue the run with `resume`.'];
  throw new SentvecError('invalid-output', `${problem} ${remedy}`, { file: directory });
}

/** The result for one file. */
interface CheckedFile {
  readonly file: string;
  readonly bytes: number;
  readonly problem?: DamagedFile['problem'] | undefined;
}

/**
 * Checks the files of a finished folder, several concurrently: their sizes, and with `verify` also their content.
 *
 * @throws SentvecError `io-failed`, `aborted`
 */
export async function* checkOutputFiles(
  output: string,
  manifest: Manifest,
  { verify, signal }: { readonly verify: boolean; readonly signal?: AbortSignal | undefined },
): AsyncGenerator<CheckedFile, void> {
  const { shards, parts = [], rejected, rejectedRows } = manifest;
  const check = async (file: ShardFile, byHash: boolean): Promise<CheckedFile> => {
    throwIfAborted(signal);
    const state = await stateOfFile(output, file, byHash);
    return { file: file.file, bytes: file.bytes, problem: state === 'intact' ? undefined : state };
  };
  async function* files(): AsyncGenerator<ShardFile, void> {
    for await (const shard of shardsOf(output, { shards, parts: intact })) yield* filesOf(shard);
    if (rejectedRows) yield rejectedRows;
  }
  // What a damaged part lists is not known.
  const intact: ManifestPart[] = [];
  for (const part of parts) {
    const checked = await check(part, true);
    if (checked.problem === undefined) intact.push(part);
    yield checked;
  }
  // A file that is verified is in memory as a whole.
  yield* inOrder(files(), verify ? 4 : callsAtOnce, (file) => check(file, verify));
  const earlier = rejectedRows ? undefined : rejectedFileOf(manifest);
  if (earlier === undefined) return;
  // Manifests of earlier versions have no hash of this file, so count its lines.
  const lines = await countLines(locationIn(output, earlier));
  const problem = lines === undefined ? 'missing' : lines === rejected ? undefined : 'damaged';
  yield { file: earlier, bytes: 0, problem };
}

async function countLines(path: string): Promise<number | undefined> {
  let lines = 0;
  try {
    for await (const block of streamFile({ path }) as AsyncIterable<Buffer>) {
      for (let at = block.indexOf(10); at !== -1; at = block.indexOf(10, at + 1)) lines += 1;
    }
    return lines;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw ioError(error, 'Reading', path);
  }
}
