/** Fingerprints of vector spaces: hashes of everything that a vector depends on, part by part. */
import { canonicalJson, sha256 } from '@sentvec/platform';
import { cannotBeExternalData } from '../model-folder/external-data.ts';
import { readJsonObject } from '../model-folder/json.ts';
import type { EmbedderParts, Fingerprint } from './embedder-types.ts';
import type { EmbedSettings } from './settings.ts';
import type { Head, ModelFiles, Projection } from '../types.ts';

/** See {@link Embedder.fingerprint}. */
export type Fingerprinter = (settings: EmbedSettings) => Promise<Fingerprint>;

/**
 * Fields of `config.json` that say where a model comes from, not what it computes. Saving a model again changes them.
 */
const cosmeticFields = new Set([
  '_name_or_path',
  'architectures',
  'dtype',
  'torch_dtype',
  'transformers_version',
  'transformers.js_config',
  'use_cache',
]);

/** Number of prompts per head whose fingerprints are cached. Callers rarely use more of them. */
const maxCachedPrompts = 64;

/** What is cached for a head. */
interface KnownHead {
  readonly hashes: () => Promise<Pick<Fingerprint['parts'], 'pooling' | 'projections'>>;
  readonly fingerprints: Map<string, () => Promise<Fingerprint>>;
}

/** Creates the function that computes the fingerprints of an embedder. Each part is hashed only once. */
export function createFingerprinter(parts: EmbedderParts): Fingerprinter {
  const weights = once(() => hashWeights(parts));
  const tokenizer = once(() => hashTokenizer(parts));
  const heads = new WeakMap<Head, KnownHead>();
  const compute = async (head: KnownHead, prompt: string, dimension: number): Promise<Fingerprint> => {
    const hashes = {
      weights: await weights(),
      tokenizer: await tokenizer(),
      ...(await head.hashes()),
      prompt: await sha256(canonicalJson(prompt)),
      dimension: await sha256(canonicalJson(dimension)),
    };
    return { hash: await sha256(canonicalJson(hashes)), parts: hashes };
  };
  return ({ head, prompt = '', dimension }) => {
    const known = heads.get(head) ?? { hashes: once(() => hashHead(head)), fingerprints: new Map() };
    heads.set(head, known);
    const { fingerprints } = known;
    if (fingerprints.size >= maxCachedPrompts) fingerprints.clear();
    const fingerprint = fingerprints.get(prompt) ?? once(() => compute(known, prompt, dimension));
    fingerprints.set(prompt, fingerprint);
    return fingerprint();
  };
}

/** Calls the function once: later calls get the same promise, unless it was rejected. */
export function once<T>(compute: () => Promise<T>): () => Promise<T> {
  let result: Promise<T> | undefined;
  return () => {
    result ??= compute().catch((error: unknown) => {
      result = undefined;
      throw error;
    });
    return result;
  };
}

async function hashWeights({ model, encoder, encoderFiles = model }: EmbedderParts): Promise<string> {
  const hashes: string[] = [];
  for (const file of weightFiles(await encoderFiles.list(), encoder.weightsFile))
    hashes.push(await hashFile(encoderFiles, file));
  const config = Object.entries((await readJsonObject(encoderFiles, 'config.json')) ?? {});
  return sha256(
    canonicalJson({
      files: hashes,
      config: Object.fromEntries(config.filter(([field]) => !cosmeticFields.has(field))),
    }),
  );
}

/**
 * The files that contain an encoder's weights, in a fixed order: the file that the backend reports; otherwise
 * `model.safetensors` or its shards, with the adapter that is merged into them; otherwise the ONNX file. An ONNX file
 * comes with its external data.
 */
function weightFiles(files: readonly string[], used: string | undefined): string[] {
  if (used !== undefined) return graphFiles(files, used);
  const adapter = files.filter((file) => /^adapter_(?:config\.json|model\.safetensors)$/u.test(file));
  if (files.includes('model.safetensors')) return ['model.safetensors', ...adapter];
  const shards = files.filter((file) => /^model-\d+-of-\d+\.safetensors$/u.test(file));
  if (shards.length > 0) return [...shards.sort(), ...adapter];
  const graph = ['onnx/model.onnx', 'model.onnx'].find((file) => files.includes(file));
  return graph === undefined ? [] : graphFiles(files, graph);
}

/**
 * An ONNX file, and all files in its folder that may be its external data: these can have any name, such as
 * `model.onnx_data` or `weights.bin`.
 */
function graphFiles(files: readonly string[], graph: string): string[] {
  const folder = graph.slice(0, graph.lastIndexOf('/') + 1);
  const beside = files.filter((file) => file.startsWith(folder) && !file.slice(folder.length).includes('/'));
  const otherGraphs = beside.filter((file) => file.endsWith('.onnx') && file !== graph);
  return beside.filter(
    (file) =>
      file === graph ||
      (!cannotBeExternalData(file.slice(folder.length)) && !otherGraphs.some((other) => file.startsWith(other))),
  );
}

async function hashFile(model: ModelFiles, path: string): Promise<string> {
  return model.sha256 ? model.sha256(path) : sha256(await model.read(path));
}

/** `maxLength` is hashed with the tokenizer: it determines which tokens a long text has. */
async function hashTokenizer(parts: EmbedderParts): Promise<string> {
  const { tokenizer, tokenizerHash, maxLength, addSpecialTokens = true } = parts;
  const content = tokenizerHash ?? canonicalJson([tokenizer.name, tokenizer.vocabularySize, tokenizer.specialTokens]);
  return sha256(canonicalJson({ content, maxLength: String(maxLength), addSpecialTokens }));
}

async function hashHead({ pooling, projections }: Head): Promise<{ pooling: string; projections: string }> {
  const { name, modes = null, includePrompt = true, config = null } = pooling;
  return {
    pooling: await sha256(canonicalJson({ name, modes, includePrompt, config })),
    projections: await sha256(canonicalJson(await Promise.all(projections.map(describeProjection)))),
  };
}

async function describeProjection(projection: Projection): Promise<unknown> {
  const fields = Object.entries(projection).map(
    async ([name, value]: [string, unknown]) => [name, await describeField(value)] as const,
  );
  return Object.fromEntries(await Promise.all(fields));
}

/** Replaces arrays of numbers by their hashes, in nested objects too; leaves other values unchanged. */
async function describeField(value: unknown): Promise<unknown> {
  if (value instanceof Float32Array) return sha256(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
  if (typeof value !== 'object' || value === null) return value;
  return describeProjection(value as Projection);
}
