// Determines and compares the embedding spaces of runs and folders.
import {
  SentvecError,
  type EmbeddedPieces,
  type Embedder,
  type EmbedOptions,
  type EmbedSparseOptions,
  type Fingerprint,
  type Matrix,
  type Receipt,
  type SparseEmbedder,
  type SparseVector,
} from '@sentvec/core';
import type { CorpusOptions } from '../request.ts';
import type { Manifest, Space } from '../manifest.ts';
import type { CorpusRun } from './corpus-run.ts';

/** An embedder that can embed a corpus. */
export type CorpusEmbedder = Embedder | SparseEmbedder;

/** The vectors of texts, in their order. */
export interface EmbeddedTexts {
  readonly vectors: Matrix | readonly SparseVector[];
  readonly receipt: Receipt;
  /** The pieces of all texts, if rows are embedded in pieces. */
  readonly pieces?: EmbeddedPieces['pieces'] | undefined;
}

/** Embeds texts with the options of a run. @throws SentvecError the errors of the embedder */
export function embedTextsOf(
  embedder: CorpusEmbedder,
  texts: readonly string[],
  options: CorpusOptions,
  more: Pick<EmbedOptions, 'signal' | 'onProgress'>,
): Promise<EmbeddedTexts> {
  if (embedder.kind !== 'sparse') {
    const given = { ...embedOptions(options), ...more };
    return options.pieces === undefined
      ? embedder.embed(texts, given)
      : embedder.embedPieces(texts, { ...given, ...options.pieces });
  }
  const { as, batchTokens, maxActiveDims } = options;
  const asked: EmbedSparseOptions = { batchTokens, maxActiveDims, shareBatches: false, ...more };
  return as === 'query' ? embedder.embedQuery(texts, asked) : embedder.embedDocuments(texts, asked);
}

function fingerprintOf(embedder: CorpusEmbedder, options: CorpusOptions): Promise<Fingerprint> {
  return embedder.kind !== 'sparse' ? embedder.fingerprint(embedOptions(options)) : embedder.fingerprint();
}

/** Checks that no option is for the other kind of vectors, dense or sparse. @throws SentvecError `invalid-argument` */
function checkOptionsFor(embedder: CorpusEmbedder, options: CorpusOptions): void {
  const { kind } = embedder;
  const dense: [name: string, isSet: boolean][] = [
    ['prompt', options.prompt !== 'default'],
    ['route', options.route !== undefined],
    ['task', options.task !== undefined],
    ['truncateDim', options.truncateDim !== null],
    ['normalize', options.normalize],
    ['pieces', options.pieces !== undefined],
    ['precision', options.precision !== 'float32'],
    ['format npy', options.format === 'npy'],
    ['columns embedding_indices and embedding_values', options.columns.some((name) => name.startsWith('embedding_'))],
  ];
  const [first] = (kind === 'sparse' ? dense : [['maxActiveDims', options.maxActiveDims !== undefined]]).find(
    ([, isSet]) => isSet === true,
  ) ?? [undefined];
  if (first === undefined) return;
  const what = kind === 'sparse' ? 'sparse vectors' : 'one dense vector for each text';
  const message = `${embedder.model.name} gives ${what}, so \`${String(first)}\` cannot be used. Remove it.`;
  throw new SentvecError('invalid-argument', message);
}

/** The embedder options of a run or a manifest. */
export function embedOptions({
  as,
  prompt,
  route,
  task,
  truncateDim,
  normalize,
  batchTokens,
}: Pick<
  CorpusOptions,
  'as' | 'prompt' | 'route' | 'task' | 'truncateDim' | 'normalize' | 'batchTokens'
>): EmbedOptions {
  return {
    as,
    route,
    task,
    batchTokens,
    // The bytes of a shard must depend only on its chunk, not on other texts that are embedded at the same time.
    shareBatches: false,
    normalize,
    ...(prompt !== 'default' && { prompt: prompt === 'none' ? null : prompt.name }),
    ...(truncateDim !== null && { truncateDim }),
  };
}

/**
 * Determines the space of an embedder with these options. It embeds one short text, to find the dimension and to check
 * that the model works.
 *
 * @throws SentvecError `invalid-argument` for a prompt or dimension that the model does not have, `backend-failed`
 */
export async function describeSpace(
  embedder: CorpusEmbedder,
  options: CorpusOptions,
  signal?: AbortSignal,
): Promise<Space> {
  checkOptionsFor(embedder, options);
  const { vectors, receipt } = await embedTextsOf(embedder, ['a'], options, { signal });
  const { hash, parts } = await fingerprintOf(embedder, options);
  return {
    model: embedder.model.name,
    revision: embedder.model.revision ?? null,
    fingerprint: hash,
    fingerprintParts: parts,
    dimension: 'cols' in vectors ? vectors.cols : embedder.dimension,
    ...(embedder.kind === 'sparse' && { kind: 'sparse' }),
    similarityFunction: embedder.similarityFunction,
    prompt: receipt.prompt ?? '',
    ...(receipt.route !== undefined && { route: receipt.route }),
    ...(receipt.task !== undefined && { task: receipt.task }),
  };
}

/** Checks that an embedder gives vectors in the space of a run. @throws SentvecError `space-mismatch` */
export async function checkSpace({ space, options, output }: CorpusRun, embedder: CorpusEmbedder): Promise<void> {
  const { hash, parts } = await fingerprintOf(embedder, options);
  if (hash === space.fingerprint) return;
  const differing = differingParts(space.fingerprintParts, parts);
  const named = differing.length === 0 ? 'the fingerprint' : differing.join(', ');
  const message =
    `The model ${embedder.model.name} of this process is not the model of the run in ${output}. ` +
    `Different: ${named}. Give every worker the same files of the model ${space.model}.`;
  throw new SentvecError('space-mismatch', message, { file: output, parts: differing });
}

/** Checks that an embedder gives vectors in the space of a finished folder. @throws SentvecError `space-mismatch` */
export async function checkFolderSpace(directory: string, manifest: Manifest, embedder: CorpusEmbedder): Promise<void> {
  const { precision, format, options } = manifest;
  const { hash, parts } = await fingerprintOf(embedder, { ...options, precision, format });
  if (hash === manifest.fingerprint) return;
  const different = differingParts(manifest.fingerprintParts, parts).join(', ') || 'the fingerprint';
  throw new SentvecError(
    'space-mismatch',
    `${directory} has vectors of another space than ${embedder.model.name}. Different: ${different}. ` +
      'Use the model that made them, or embed the corpus again.',
    { file: directory, parts: different },
  );
}

/** Names of the fingerprint parts in which two spaces differ. */
export function differingParts(one: Space['fingerprintParts'], other: Space['fingerprintParts']): string[] {
  const names = new Set([...Object.keys(one), ...Object.keys(other)]) as Set<keyof Space['fingerprintParts']>;
  return [...names].filter((name) => one[name] !== other[name]);
}

/** The error for vectors of one space where another is expected. */
export function spaceMismatchError(
  output: string,
  there: Pick<Space, 'model' | 'prompt'>,
  here: Pick<Space, 'model' | 'prompt'>,
  parts: readonly string[],
): SentvecError {
  const prompts = ` (${quotedPrompt(there.prompt)} there, ${quotedPrompt(here.prompt)} here)`;
  const named =
    parts.length === 0
      ? 'the fingerprint'
      : parts.map((part) => (part === 'prompt' ? `prompt${prompts}` : part)).join(', ');
  const models =
    there.model === here.model ? `of the model ${there.model}` : `${there.model} there, ${here.model} here`;
  const message = `${output} has vectors of another space (${models}). Different: ${named}. Choose another folder, or replace it with \`overwrite\`.`;
  return new SentvecError('space-mismatch', message, { file: output, parts });
}

function quotedPrompt(prompt: string | undefined): string {
  if (prompt === undefined) return 'not recorded';
  return prompt === '' ? 'nothing' : JSON.stringify(prompt);
}
