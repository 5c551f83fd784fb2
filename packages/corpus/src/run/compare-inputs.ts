/** Compares inputs with those that an earlier run has read. */
import { createHash } from 'node:crypto';
import { SentvecError } from '@sentvec/core';
import { canonicalJson } from '@sentvec/platform';
import type { CorpusChunk } from '../chunk.ts';
import type { FoundInput } from '../inputs/find-inputs.ts';
import { openInput } from '../inputs/input-file.ts';
import type { InspectedInput } from '../inputs/inspect-input.ts';
import type { Manifest } from '../manifest.ts';
import { shardsOf } from '../manifest-parts.ts';
import type { CorpusOptions } from '../request.ts';
import { readChunk } from '../rows/read-chunk.ts';
import { describeInputs } from '../steps/create-manifest.ts';
import { planChunks } from '../steps/plan-corpus.ts';
import { checkOutputFiles } from '../verify-embeddings.ts';
import { readRunInputs } from './corpus-run.ts';
import { otherContentError, type EarlierRun } from './decide-start.ts';

/**
 * Checks that streams have the same content as before. A run whose data was piped in can be resumed only with the same
 * data.
 *
 * @throws SentvecError `invalid-output` for other content; `io-failed`
 */
export async function checkStreams(
  { run, found }: Extract<EarlierRun, { kind: 'unfinished' }>,
  inputs: readonly InspectedInput[],
): Promise<void> {
  const { inspected } = await readRunInputs(run);
  for (const [index, { name, kind }] of found.entries()) {
    if (kind !== 'stream') continue;
    const [before, now] = [inspected[index]!, inputs[index]!];
    if (before.bytes === now.bytes && (await hashInput(before)) === (await hashInput(now))) continue;
    const input = name === '-' ? 'Standard input' : name;
    const sizes = `It had ${before.bytes} bytes before, and now has ${now.bytes}.`;
    throw otherContentError(
      run.output,
      input,
      `${sizes} Pipe in the same data again, or start over with \`overwrite\`.`,
    );
  }
}

async function hashInput({ name, path, bytes }: InspectedInput): Promise<string> {
  const file = await openInput(name, path);
  try {
    const hash = createHash('sha256');
    for await (const block of file.blocks(0, bytes)) hash.update(block);
    return hash.digest('hex');
  } finally {
    await file.close();
  }
}

/** Options of {@link isUpToDate}. */
export interface UpToDateOptions {
  readonly output: string;
  readonly options: CorpusOptions;
  readonly found: readonly FoundInput[];
  readonly inspected: readonly InspectedInput[];
  /** Whether to check the hash of every file, and not only its size. */
  readonly verify: boolean;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Whether a finished run needs no work: its inputs have the same rows as before, and none of its files is missing.
 * Reads the inputs once.
 *
 * @throws SentvecError `invalid-output` for changed inputs, unless the request embeds changed rows; `io-failed`;
 * `aborted`
 */
export async function isUpToDate(
  { manifest, again }: Extract<EarlierRun, { kind: 'finished' }>,
  { output, options, found, inspected, verify, signal }: UpToDateOptions,
): Promise<boolean> {
  if (again && manifest.rejected > 0) return false;
  const inputs = describeInputs({ found, inspected });
  if (again && canonicalJson(inputs) !== canonicalJson(manifest.inputs)) return false;
  const changed = await findChangedInput(manifest, { output, inspected, options, signal });
  if (changed !== undefined) {
    if (again) return false;
    const remedy = '`update` embeds the rows that differ; `overwrite` embeds all rows again.';
    throw otherContentError(output, changed, remedy);
  }
  for await (const { problem } of checkOutputFiles(output, manifest, { verify, signal })) if (problem) return false;
  return true;
}

/** The name of the first input whose rows differ from those of the shards. */
async function findChangedInput(
  manifest: Manifest,
  { output, inspected, options, signal }: Pick<UpToDateOptions, 'output' | 'inspected' | 'options' | 'signal'>,
): Promise<string | undefined> {
  const shards = shardsOf(output, manifest);
  try {
    for await (const chunk of planChunks(inspected, options, signal)) {
      const shard = (await shards.next()).value;
      const isSame =
        shard !== undefined &&
        manifest.inputs[shard.input]?.file === chunk.input &&
        shard.firstRow === chunk.firstRow &&
        shard.rows + shard.rejected === chunk.rows &&
        shard.content === (await contentOf(chunk, options, signal));
      if (!isSame) return chunk.input;
    }
  } catch (error) {
    // An input that can no longer be read with the recorded format has changed too.
    if (SentvecError.is(error, 'invalid-corpus') && typeof error.details.file === 'string') return error.details.file;
    throw error;
  }
  return (await shards.next()).done ? undefined : inspected.at(-1)?.name;
}

/** The `content` of a chunk's shard. */
export async function contentOf(
  chunk: CorpusChunk,
  options: CorpusOptions,
  signal: AbortSignal | undefined,
): Promise<string> {
  if (chunk.format !== 'parquet') return chunk.content;
  const { textField, idField, columns, split } = options;
  const fields = { textField, idField, columns, idType: 'string' } as const;
  return (await readChunk(chunk, split, fields, signal)).content;
}
