// Computes reference values for the self-check in plain TypeScript, when a model is loaded or to store them in
// self-check.json.
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
import { computeReference, countMultiplications } from './compute-reference.ts';

/** The default limit in multiplications, which take a few seconds in plain TypeScript. */
const defaultLimit = 2 ** 30;

/**
 * Up to this number of multiplications, which take about 10 ms, the calling thread computes: starting a thread would
 * take longer.
 */
const maxOnCallingThread = 2 ** 22;

/**
 * Computes the token embeddings of a short batch in plain TypeScript, in float64. The self-check compares a backend
 * with them; see `Backend.reference` of `@sentvec/core`. The weights are read from the safetensors of the model. In
 * Node, large models on disk are computed in a worker thread.
 * @param limit the approximate maximum number of multiplications (default: 2^30, which take a few seconds)
 * @returns the reason why there are no values: the model has no safetensors, or exceeds the limit
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
      reason: `${files.name} has no safetensors from which reference values could be computed. To enable the self-check, use a folder that "sentvec export" wrote.`,
    };
  }
  const network = await networkOf(ConfigReader.parse(await files.read('config.json'), `${files.name}/config.json`));
  const count = countMultiplications(network, batch);
  if (count > limit) {
    return {
      reason: `${files.name} is too large to compute reference values at every load. To enable the self-check, use a folder that "sentvec export" wrote.`,
    };
  }
  return count <= maxOnCallingThread ? computeReference(files, batch) : computeLargeReference(files, batch);
}

/**
 * The content of `self-check.json` for a model, with which backends are checked when they load it. The stored values
 * need no computation at load time, and can be used without safetensors.
 * @param files the files of the encoder
 * @param options.maxPositions the maximum length of a text in tokens
 * @returns `undefined` for a model without safetensors, and for a tokenizer that has no token of the self-check text
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
