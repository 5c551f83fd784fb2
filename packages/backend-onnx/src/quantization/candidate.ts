// Loads a model with a quantized encoder that is still in memory, and computes its vectors.
import { SentvecError, type Embedder, type Matrix, type ModelFiles } from '@sentvec/core';
import { loadEmbedder } from '@sentvec/core/node';
import { onnx } from '../backend.ts';

/** A model whose encoder is replaced by an ONNX file in memory. */
export interface Candidate {
  readonly model: ModelFiles;
  /** The path of the encoder in the model; `''` for the top folder. */
  readonly encoderPath: string;
  /** The name of the ONNX file without its extension. */
  readonly variant: string;
  readonly bytes: Uint8Array;
}

/** Loads a candidate without a self-check, which is created later for the chosen candidate. */
export function loadCandidate(candidate: Candidate, signal: AbortSignal | undefined): Promise<Embedder> {
  const { model, encoderPath, variant, bytes } = candidate;
  const file = `${encoderPath === '' ? '' : `${encoderPath}/`}onnx/${variant}.onnx`;
  const files: ModelFiles = {
    name: model.name,
    list: async () => [...new Set([...(await model.list()), file])].sort(),
    read: async (path) => (path === file ? bytes : model.read(path)),
  };
  return loadEmbedder(files, { backend: onnx({ variant }), selfCheck: false, signal, onWarning: () => {} });
}

/** Computes the vectors of texts with a candidate. */
export async function embedWithCandidate(
  candidate: Candidate,
  texts: readonly string[],
  signal: AbortSignal | undefined,
): Promise<Matrix> {
  const embedder = await loadCandidate(candidate, signal);
  try {
    return await vectorsOf(embedder, texts, signal);
  } finally {
    await embedder.dispose();
  }
}

/**
 * Computes the vectors of texts.
 * @throws SentvecError `unsupported-model` if they contain NaN or infinity
 */
export async function vectorsOf(
  embedder: Embedder,
  texts: readonly string[],
  signal: AbortSignal | undefined,
): Promise<Matrix> {
  const { vectors } = await embedder.embed(texts, { signal });
  if (vectors.data.every((value) => Number.isFinite(value))) return vectors;
  throw new SentvecError(
    'unsupported-model',
    `${embedder.model.name} has weights or activations beyond the range of this precision: some vectors contain NaN or infinity. Use another precision.`,
  );
}
