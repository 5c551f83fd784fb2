// A model with a quantized encoder, before it is written anywhere, and its vectors.
import { SentvecError, type Embedder, type Matrix, type ModelFiles } from '@sentvec/core';
import { loadEmbedder } from '@sentvec/core/node';
import { onnx } from '../backend.ts';

/** The model, and in place of its encoder's default weights a file that is in memory. */
export interface Candidate {
  readonly model: ModelFiles;
  /** Of the encoder in the model; `''` when it is at the top. */
  readonly encoderPath: string;
  /** Name of the file without its ending. */
  readonly variant: string;
  readonly bytes: Uint8Array;
}

/** Loads a candidate. It is not checked: its self-check is made later, from the candidate that is chosen. */
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

/** The vectors of texts by a candidate. */
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

/** The vectors of texts. @throws SentvecError `unsupported-model` when the encoder gives no numbers */
export async function vectorsOf(
  embedder: Embedder,
  texts: readonly string[],
  signal: AbortSignal | undefined,
): Promise<Matrix> {
  const { vectors } = await embedder.embed(texts, { signal });
  if (vectors.data.every((value) => Number.isFinite(value))) return vectors;
  throw new SentvecError(
    'unsupported-model',
    `${embedder.model.name} has weights or values that the precision cannot hold: some vectors are not numbers. Take another precision.`,
  );
}
