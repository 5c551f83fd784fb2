/**
 * An embedder with a cache for its vectors. Results must be identical with and without the cache. Texts are therefore
 * embedded with `shareBatches: false`, so that padding does not change a vector, and a backend whose vectors still
 * depend on the batch is refused.
 */
import { canonicalJson, checkOptionNames, warn } from '@sentvec/platform';
import type {
  Embedded,
  EmbeddedText,
  Embedder,
  EmbedOptions,
  Receipt,
  RoleEmbedOptions,
} from '../embedder/embedder-types.ts';
import { embedOptionNames } from '../embedder/settings.ts';
import { SentvecError, throwIfAborted } from '../errors.ts';
import { rowOf } from '../search/matrix-rows.ts';
import { MissingTexts } from './missing-texts.ts';
import type { CachedSpace, CachedVector, VectorCache } from './vector-cache.ts';

/**
 * How many vectors of each cache file are computed again, when the file is first used, to check that the backend still
 * gives the same ones.
 */
const vectorsToCompare = 3;

/** How many calls to make at once: the few missing texts of each are computed together. */
const concurrentCalls = 8;

/** A vector space of the embedder, with its part of the cache. */
interface OpenSpace {
  readonly vectors: CachedSpace;
  readonly missing: MissingTexts;
  /** Template for the receipts of all calls. */
  readonly receipt: Receipt;
  readonly dimension: number;
}

/**
 * Wraps an embedder with a cache: `embed`, `embedQuery` and `embedDocuments` compute only the vectors that the cache
 * does not have. The results are identical, bit for bit, with and without the cache. `embedPieces` and `embedStream` do
 * not use the cache. `dispose` writes the cache, then disposes the embedder.
 * @throws SentvecError, in its calls, as the embedder, and `backend-unavailable` when the backend's vectors depend on
 * the batch
 */
export function cachedEmbedder(embedder: Embedder, cache: VectorCache): Embedder {
  const spaces = new Map<string, Promise<OpenSpace>>();
  let isDisposed = false;
  const spaceFor = ({ as, prompt, promptText, route, task, truncateDim, normalize }: EmbedOptions) => {
    const chosen = { as, prompt, promptText, route, task, truncateDim, normalize };
    const key = canonicalJson(Object.fromEntries(Object.entries(chosen).filter(([, value]) => value !== undefined)));
    const space = spaces.get(key) ?? openSpace(embedder, cache, chosen);
    spaces.set(key, space);
    space.catch(() => spaces.delete(key));
    return space;
  };
  async function embed(text: string, options?: EmbedOptions): Promise<EmbeddedText>;
  async function embed(texts: string | readonly string[], options?: EmbedOptions): Promise<Embedded>;
  async function embed(texts: string | readonly string[], options: EmbedOptions = {}): Promise<Embedded> {
    if (isDisposed) return embedder.embed(texts, options); // Throws the embedder's own `disposed` error.
    checkOptionNames('embed()', options, embedOptionNames);
    throwIfAborted(options.signal);
    const list: readonly unknown[] =
      typeof texts === 'string' ? [texts] : Array.isArray(texts) ? texts.slice() : [null];
    if (!list.every((text): text is string => typeof text === 'string')) return embedder.embed(texts, options);
    const embedded = await embedTexts(embedder, await spaceFor(options), list, options);
    if (typeof texts !== 'string') return embedded;
    const one: EmbeddedText = { ...embedded, vector: rowOf(embedded.vectors, 0) };
    return one;
  }
  const embedAs =
    (as: 'query' | 'document') =>
    (texts: string | readonly string[], options: RoleEmbedOptions = {}): Promise<EmbeddedText> =>
      embed(texts as string, { ...options, as });
  const dispose = async (): Promise<void> => {
    isDisposed = true;
    for (const space of await Promise.allSettled(spaces.values()))
      if (space.status === 'fulfilled') await space.value.vectors.write();
    await embedder.dispose();
  };
  return {
    ...embedder,
    concurrentCalls,
    embed,
    embedQuery: embedAs('query'),
    embedDocuments: embedAs('document'),
    embedPieces: (texts, options) => embedder.embedPieces(texts, options),
    embedStream: (texts, options) => embedder.embedStream(texts, options),
    fingerprint: (options) => embedder.fingerprint(options),
    dispose,
    [Symbol.asyncDispose]: dispose,
  };
}

async function openSpace(embedder: Embedder, cache: VectorCache, chosen: EmbedOptions): Promise<OpenSpace> {
  const options = { ...chosen, shareBatches: false };
  const [together, alone] = [await embedder.embed(['a', 'b', 'c'], options), await embedder.embed(['b'], options)];
  if (!areSame(rowOf(together.vectors, 1), alone.vectors.data)) {
    throw new SentvecError(
      'backend-unavailable',
      `Vectors of the backend ${embedder.backend ?? 'of this embedder'} depend on the batch, so a cache would change them. Do not use a cache, or use the backend onnx on a CPU.`,
    );
  }
  const { receipt, vectors } = alone;
  const vectorsOfSpace = await cache.space(receipt.fingerprint, embedder.backend, vectors.cols);
  return { vectors: vectorsOfSpace, missing: new MissingTexts(embedder), receipt, dimension: vectors.cols };
}

async function embedTexts(
  embedder: Embedder,
  space: OpenSpace,
  texts: readonly string[],
  options: EmbedOptions,
): Promise<Embedded> {
  const started = performance.now();
  const known = await space.vectors.find(texts);
  // Each file of the cache may have been written with another version of the backend.
  const unproven = new Map<string, { readonly text: string; readonly vector: Float32Array }[]>();
  for (const [index, entry] of known.entries()) {
    if (entry?.file === undefined || space.vectors.isProven(entry.file)) continue;
    const textsOfFile = unproven.get(entry.file) ?? [];
    const text = texts[index]!;
    if (textsOfFile.length < vectorsToCompare && !textsOfFile.some((each) => each.text === text))
      unproven.set(entry.file, [...textsOfFile, { text, vector: entry.vector }]);
  }
  const again = [...unproven.values()].flat();
  const missing = [...new Set(texts.filter((_, index) => known[index] === undefined))];
  const hits = texts.length - missing.length;
  const onProgress: EmbedOptions['onProgress'] = ({ rows, tokens }) =>
    options.onProgress?.({ rows: Math.min(texts.length, hits + rows), tokens });
  let computed: ReadonlyMap<string, CachedVector>;
  try {
    computed = await space.missing.compute([...again.map(({ text }) => text), ...missing], { ...options, onProgress });
  } catch (error) {
    if (SentvecError.is(error, 'aborted')) throw error;
    return embedder.embed(texts, { ...options, shareBatches: false }); // Embeds the original texts, so that the error has the caller's row.
  }
  if (again.some(({ text, vector }) => !areSame(computed.get(text)!.vector, vector))) {
    warn(
      'The cached vectors differ from those that this machine computes now, so the cache was cleared. This happens after updates of the backend.',
    );
    await space.vectors.clear();
    return embedTexts(embedder, space, texts, options);
  }
  space.vectors.prove(unproven.keys());
  await space.vectors.add(
    missing,
    missing.map((text) => computed.get(text)!),
  );
  return assemble(
    texts.map((text, index) => known[index] ?? computed.get(text)!),
    space,
    started,
  );
}

function assemble(found: readonly CachedVector[], { receipt, dimension: cols }: OpenSpace, started: number): Embedded {
  const rows = found.length;
  const data = new Float32Array(rows * cols);
  for (const [row, { vector }] of found.entries()) data.set(vector, row * cols);
  return {
    vectors: { data, rows, cols },
    receipt: {
      ...receipt,
      rows,
      tokens: found.reduce((sum, { tokens }) => sum + tokens, 0),
      truncated: found.flatMap(({ cutFrom }, row) => (cutFrom > 0 ? [{ row, length: cutFrom }] : [])),
      paddingWaste: 0,
      milliseconds: performance.now() - started,
    },
  };
}

function areSame(one: Float32Array, other: Float32Array): boolean {
  return one.length === other.length && one.every((value, index) => Object.is(value, other[index]));
}
