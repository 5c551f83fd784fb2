// Initial weights of a new model, and token statistics of texts.
import type { EncoderNetwork } from '@sentvec/architectures';
import { javaScriptTokenizer, type TokenizerDefinition } from '@sentvec/core';
import { Random } from '../random.ts';

/** A tensor whose numbers may still change. */
interface InitialTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array<ArrayBuffer>;
}

/**
 * Initializes weights as BERT does: matrices are normal with standard deviation 0.02, scales of layer normalizations
 * are 1, and biases are 0.
 */
export function randomWeights(network: EncoderNetwork, seed: number): Record<string, InitialTensor> {
  const random = new Random(seed);
  const tensors: Record<string, InitialTensor> = {};
  for (const [name, { shape }] of network.weights) {
    const data = new Float32Array(shape.reduce((product, size) => product * size, 1));
    if (shape.length > 1) for (let i = 0; i < data.length; i++) data[i] = 0.02 * random.normal();
    else if (name.endsWith('.weight')) data.fill(1);
    tensors[name] = { shape, data };
  }
  return tensors;
}

/** log((texts + 1) / (texts with the token + 1)) of each token id. */
export async function inverseDocumentFrequencies(
  definition: TokenizerDefinition,
  texts: readonly string[],
  vocabularySize: number,
): Promise<Float64Array> {
  const occurrences = new Float64Array(vocabularySize);
  for await (const ids of tokenized(definition, texts)) for (const id of new Set(ids)) occurrences[id]!++;
  return occurrences.map((count) => Math.log((texts.length + 1) / (count + 1)));
}

/** (occurrences + 1) / (occurrences of all + vocabulary) of each token id. */
export async function tokenFrequencies(
  definition: TokenizerDefinition,
  texts: readonly string[],
  vocabularySize: number,
): Promise<Float64Array> {
  const occurrences = new Float64Array(vocabularySize);
  let total = 0;
  for await (const ids of tokenized(definition, texts)) {
    for (const id of ids) occurrences[id]!++;
    total += ids.length;
  }
  return occurrences.map((count) => (count + 1) / (total + vocabularySize));
}

/** The token ids of each text, without special tokens. */
async function* tokenized(definition: TokenizerDefinition, texts: readonly string[]): AsyncGenerator<Int32Array> {
  const tokenizer = await javaScriptTokenizer(definition);
  const block = 4096;
  for (let start = 0; start < texts.length; start += block) {
    const part = await tokenizer.encode(texts.slice(start, start + block), {
      maxLength: Infinity,
      addSpecialTokens: false,
    });
    for (const { ids } of part) yield ids;
  }
  await tokenizer.dispose();
}

/** Multiplies each row by its factor divided by the largest factor. */
export function scaleRows({ shape, data }: InitialTensor, factors: Float64Array): void {
  const width = shape[1]!;
  const largest = factors.reduce((most, factor) => Math.max(most, factor), 1e-12);
  for (let i = 0; i < data.length; i++) data[i]! *= factors[Math.floor(i / width)]! / largest;
}
