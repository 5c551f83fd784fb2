import { plainReference } from '@sentvec/architectures';
import {
  selfCheckFile,
  selfCheckIds,
  selfCheckText,
  type Embedder,
  encodeSelfCheck,
  readModelFolder,
} from '@sentvec/core';
import type { FolderFile } from '@sentvec/platform/node';

/**
 * `self-check.json` of a model, by which backends are checked when they load it: stored, it costs nothing at load, and also
 * serves where only the ONNX file is read. None for a model without safetensors, whose values nothing here can tell
 * apart from a backend's.
 */
export async function selfCheckFiles({ model, tokenizer, encoder }: Embedder): Promise<FolderFile[]> {
  const { encoderFiles, addSpecialTokens } = await readModelFolder(model);
  const ids = await selfCheckIds(tokenizer, { addSpecialTokens, maxPositions: encoder.maxPositions });
  if (ids.length === 0) return [];
  const embeddings = await plainReference(encoderFiles, selfCheckText(ids), Infinity);
  if ('reason' in embeddings) return [];
  return [[selfCheckFile, async () => new TextEncoder().encode(encodeSelfCheck({ ids, embeddings }))]];
}
