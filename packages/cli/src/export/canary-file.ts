import { plainReference } from '@sentvec/architectures';
import { canaryFile, canaryIds, canaryText, type Embedder, encodeCanary, readModelFolder } from '@sentvec/core';
import type { FileToWrite } from '../write-folder.ts';

/**
 * `canary.json` of a model, by which backends are checked when they load it: stored, it costs nothing at load, and also
 * serves where only the ONNX file is read. None for a model without safetensors, whose values nothing here can tell
 * apart from a backend's.
 */
export async function canaryFiles({ model, tokenizer, encoder }: Embedder): Promise<FileToWrite[]> {
  const { encoderFiles, addSpecialTokens } = await readModelFolder(model);
  const ids = await canaryIds(tokenizer, { addSpecialTokens, maxPositions: encoder.maxPositions });
  if (ids.length === 0) return [];
  const embeddings = await plainReference(encoderFiles, canaryText(ids), Infinity);
  if ('reason' in embeddings) return [];
  return [[canaryFile, async () => new TextEncoder().encode(encodeCanary({ ids, embeddings }))]];
}
