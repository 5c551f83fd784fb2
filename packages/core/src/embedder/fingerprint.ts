import { canonicalJson, sha256 } from '@sentvec/platform';
import type { EmbedderParts } from './parts.ts';
import type { EmbedSettings } from './settings.ts';
import { readJsonObject } from '../model-folder/json.ts';
import type { Fingerprint } from './embedder-types.ts';
import type { ModelFiles, Projection } from '../types.ts';
import { weightFiles } from '../weights/weight-files.ts';

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

/**
 * Makes the function that fingerprints the spaces of an embedder. The model's files are hashed at its first call; they
 * do not change with the settings.
 */
export function createFingerprinter(parts: EmbedderParts): Fingerprinter {
  let weights: Promise<string> | undefined;
  return async (settings) => {
    weights ??= hashWeights(parts);
    const hashes = {
      weights: await weights,
      tokenizer: await hashTokenizer(parts),
      pooling: await hashPooling(settings),
      projections: await sha256(canonicalJson(await Promise.all(settings.head.projections.map(describeProjection)))),
      prompt: await sha256(canonicalJson(settings.prompt ?? '')),
      dimension: await sha256(canonicalJson(settings.dimension)),
    };
    return { hash: await sha256(canonicalJson(hashes)), parts: hashes };
  };
}

async function hashWeights({ model, encoder, encoderFiles = model }: EmbedderParts): Promise<string> {
  const hashes: string[] = [];
  for (const file of weightFiles(await encoderFiles.list(), encoder.weightsFile))
    hashes.push(await hashFile(encoderFiles, file));
  return sha256(canonicalJson({ files: hashes, config: await readConfig(encoderFiles) }));
}

async function hashFile(model: ModelFiles, path: string): Promise<string> {
  return model.sha256 ? model.sha256(path) : sha256(await model.read(path));
}

async function readConfig(model: ModelFiles): Promise<Record<string, unknown>> {
  const config = (await readJsonObject(model, 'config.json')) ?? {};
  return Object.fromEntries(Object.entries(config).filter(([field]) => !cosmeticFields.has(field)));
}

/** Where texts are cut belongs to the tokenizer: it decides which tokens a long text has. */
async function hashTokenizer(parts: EmbedderParts): Promise<string> {
  const { tokenizer, tokenizerHash, maxLength, addSpecialTokens = true } = parts;
  const content = tokenizerHash ?? canonicalJson([tokenizer.name, tokenizer.vocabularySize, tokenizer.specialTokens]);
  return sha256(canonicalJson({ content, maxLength: String(maxLength), addSpecialTokens }));
}

async function hashPooling({ head: { pooling } }: EmbedSettings): Promise<string> {
  const { name, modes = null, includePrompt = true, config = null } = pooling;
  return sha256(canonicalJson({ name, modes, includePrompt, config }));
}

async function describeProjection(projection: Projection): Promise<unknown> {
  const fields = Object.entries(projection).map(
    async ([name, value]: [string, unknown]) => [name, await describeField(value)] as const,
  );
  return Object.fromEntries(await Promise.all(fields));
}

/** Numbers of a layer as their hash, with their shape; everything else as it is. */
async function describeField(value: unknown): Promise<unknown> {
  if (value instanceof Float32Array) return sha256(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
  if (typeof value !== 'object' || value === null) return value;
  return describeProjection(value as Projection);
}
