import { readEncoder } from '@sentvec/architectures';
import {
  projectionOutputSize,
  readModelFolder,
  readTokenizerDefinition,
  SentvecError,
  type ModelFiles,
  type ModelFolder,
} from '@sentvec/core';
import { nodeTokenizer } from '@sentvec/core/node';
import type { TrainableModel } from '../step/siamese.ts';
import type { TextReader } from '../texts.ts';

/** A model folder opened for training. */
export interface LoadedTrainable {
  readonly files: ModelFiles;
  readonly folder: ModelFolder;
  readonly model: TrainableModel;
  readonly reader: TextReader;
  /** Length of a vector. */
  readonly dimension: number;
}

/**
 * Opens a sentence-transformers folder for training.
 * @param options.maxLength the most tokens of a text, instead of what the model says
 * @throws SentvecError as `loadEmbedder`, and `unsupported-model` for a folder without `model.safetensors`
 */
export async function loadTrainable(
  files: ModelFiles,
  options: { readonly maxLength?: number | undefined } = {},
): Promise<LoadedTrainable> {
  const folder = await readModelFolder(files);
  if (folder.encoder === 'static') {
    throw new SentvecError(
      'unsupported-model',
      `${files.name} is a static embedding; train it through fromScratch or a transformers folder.`,
    );
  }
  const definition = await readEncoder(folder.encoderFiles);
  const tokenizer = await nodeTokenizer()(await readTokenizerDefinition(folder.encoderFiles, { lowercase: folder.lowerCase }));
  const maxLength = Math.min(options.maxLength ?? folder.maxLength ?? Infinity, definition.maxPositions);
  const { head, addSpecialTokens } = folder;
  const dimension = head.projections.reduce(
    (size, projection) => projectionOutputSize(projection, size),
    head.pooling.outputSize(definition.hiddenSize),
  );
  return {
    files,
    folder,
    model: { definition, head },
    reader: { tokenizer, maxLength, addSpecialTokens, pooling: head.pooling },
    dimension,
  };
}
