// A model folder opened for training.
import { readEncoder, type EncoderDefinition } from '@sentvec/architectures';
import {
  memoryModel,
  projectionOutputSize,
  readModelFolder,
  readTokenizerDefinition,
  refuseTokensWithoutWeights,
  SentvecError,
  withTask,
  writeSafetensors,
  type Encoder,
  type ModelFiles,
  type ModelFolder,
} from '@sentvec/core';
import { nodeTokenizer } from '@sentvec/core/node';
import type { TrainableModel } from '../step/siamese.ts';
import type { TextReader } from '../data/tokenized-sets.ts';

/** A model folder opened for training. */
export interface LoadedTrainable {
  readonly files: ModelFiles;
  readonly folder: ModelFolder;
  readonly model: TrainableModel;
  readonly reader: TextReader;
  /** Length of a vector. */
  readonly dimension: number;
  /** Hash of all that decides how the tokenizer cuts a text. */
  readonly tokenizerHash: string;
}

/**
 * Opens a sentence-transformers folder for training.
 * @param options.maxLength the most tokens of a text, instead of what the model says
 * @param options.task for a model with adapters for tasks: whose adapter is merged into the weights that are trained
 * @throws SentvecError as `loadEmbedder`, and `invalid-model` for a folder without `model.safetensors`
 */
export async function loadTrainable(
  model: ModelFiles,
  options: { readonly maxLength?: number | undefined; readonly task?: string | undefined } = {},
): Promise<LoadedTrainable> {
  const files = options.task === undefined ? model : await withTask(model, options.task);
  const folder = await readModelFolder(files);
  if (folder.route !== undefined) {
    const message = `${files.name} has several routes, of which training would change one only. Train the folder of a route, ${folder.encoderPath} say.`;
    throw new SentvecError('unsupported-model', message, { file: files.name });
  }
  const definition = folder.staticEncoder
    ? await staticDefinition(folder.staticEncoder)
    : await readEncoder(folder.encoderFiles);
  const tokenization = await readTokenizerDefinition(folder.encoderFiles, { lowercase: folder.lowerCase });
  const loaded = await nodeTokenizer()(tokenization);
  const tokenizer = refuseTokensWithoutWeights(loaded, tokenization, definition.vocabularySize, files.name);
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
    tokenizerHash: tokenization.hash,
  };
}

/** A static embedding as a network: its table is the vector of each token id. */
async function staticDefinition(encoder: Encoder): Promise<EncoderDefinition> {
  const ids = Int32Array.from({ length: encoder.vocabularySize ?? 0 }, (_, id) => id);
  const { data, rows, cols } = await encoder.encode({
    ids,
    mask: new Int32Array(ids.length).fill(1),
    rows: ids.length,
    cols: 1,
  });
  const config = { model_type: 'static-embedding', vocab_size: rows, hidden_size: cols };
  const files = {
    'config.json': JSON.stringify(config),
    'model.safetensors': writeSafetensors({ 'embedding.weight': { shape: [rows, cols], data } }),
  };
  return await readEncoder(memoryModel('static embedding', files));
}
