// Reference values for the self-check, computed in plain TypeScript: for one load, or to be stored in self-check.json.
import {
  encodeSelfCheck,
  type ModelFiles,
  selfCheckIds,
  selfCheckText,
  type TokenBatch,
  type TokenEmbeddings,
  type Tokenizer,
} from '@sentvec/core';
import { computeLargeReference } from '#large-reference';
import { ConfigReader } from '../encoders/config.ts';
import { networkOf } from '../encoders/registry.ts';
import { computeReference, multiplications } from './compute-reference.ts';

/** Multiplications that take plain TypeScript some seconds. */
const defaultLimit = 2 ** 30;

/** Multiplications that take about ten milliseconds, less than the start of a thread. */
const fewMultiplications = 2 ** 22;

/**
 * Token embeddings of a short batch in plain TypeScript, in float64: what the self-check of a backend compares with; see
 * `Backend.reference` of `@sentvec/core`. Takes the weights from the model's safetensors, in Node from a thread of its
 * own when they are many and on this disk.
 * @param limit the most multiplications, about, that it may take: a billion takes some seconds
 * @returns a reason instead for a model without safetensors, or one that would take long
 * @throws SentvecError `invalid-model`, `unsupported-model`
 */
export async function plainReference(
  files: ModelFiles,
  batch: TokenBatch,
  limit: number = defaultLimit,
): Promise<TokenEmbeddings | { readonly reason: string }> {
  const present = await files.list();
  if (!present.some((path) => /^model\.safetensors(\.index\.json)?$/u.test(path))) {
    return {
      reason: `${files.name} has no safetensors to compute reference values from. A self-check.json, which sentvec export writes, would do.`,
    };
  }
  const network = await networkOf(ConfigReader.parse(await files.read('config.json'), `${files.name}/config.json`));
  const count = multiplications(network, batch);
  if (count > limit) {
    return {
      reason: `${files.name} is too large to compute reference values at every load. A self-check.json, which sentvec export writes, has them.`,
    };
  }
  return count <= fewMultiplications ? computeReference(files, batch) : computeLargeReference(files, batch);
}

/**
 * The content of `self-check.json` of a model, by which backends are checked when they load it: stored, it costs nothing
 * at load, and also serves where only the ONNX file is read.
 * @param files those of the encoder
 * @param options.maxPositions the longest text that the encoder takes, in tokens
 * @returns `undefined` for a model without safetensors, from which nothing could be computed without a backend, and
 * for a tokenizer that knows none of the text
 * @throws SentvecError `invalid-model`, `unsupported-model`
 */
export async function selfCheckContent(
  files: ModelFiles,
  tokenizer: Tokenizer,
  options: { readonly addSpecialTokens: boolean; readonly maxPositions: number },
): Promise<string | undefined> {
  const ids = await selfCheckIds(tokenizer, options);
  if (ids.length === 0) return undefined;
  const embeddings = await plainReference(files, selfCheckText(ids), Infinity);
  return 'reason' in embeddings ? undefined : encodeSelfCheck({ ids, embeddings });
}
