/** Reads a folder without `modules.json`: an encoder whose pooling has to be found elsewhere. */
import { SentvecError } from '../errors.ts';
import { createPooling, graphPooling } from '../pooling/pooling.ts';
import { resolvePooling } from '../pooling/pooling-plugin.ts';
import type { Head, ModelFiles } from '../types.ts';
import { readConfigFile, type ConfigFile } from './config-file.ts';
import { readModelCard, type ModelCard } from './model-card.ts';
import type { EncoderPart, FindGraphOutput, ModelFolder, ModelFolderOptions } from './model-folder.ts';
import { subfolder } from './model-files.ts';
import { loadStaticEmbedding } from './static-embedding.ts';
import { completeAdapter, readTransformerModule } from './transformer-module.ts';

/** The parts of a folder that are not in `config_sentence_transformers.json`. */
export type FolderParts = EncoderPart & Pick<ModelFolder, 'head' | 'headSource' | 'route' | 'routes' | 'notes'>;

/** Reads the base model that a model card names. */
export type ReadBaseModel = (files: ModelFiles) => Promise<ModelFolder>;

/**
 * Reads a plain transformers or model2vec folder. The pooling comes from the first of these sources that has one: the
 * caller, an output of the ONNX file, the modules of the base model. If there is none, a folder whose card describes a
 * sentence embedding model is refused, and any other encoder gets the default pooling of sentence-transformers.
 * @throws SentvecError `invalid-model`, `unsupported-model`
 */
export async function readPlainFolder(
  folder: ModelFiles,
  options: ModelFolderOptions,
  findGraphOutput: FindGraphOutput,
  readBaseModel: ReadBaseModel,
): Promise<FolderParts & Partial<ModelFolder>> {
  const files = await completeAdapter(folder, folder.related);
  const config = await readConfigFile(files, 'config.json');
  if (config === undefined) {
    throw new SentvecError(
      'invalid-model',
      `${files.name} is not a model folder: it has neither modules.json nor config.json.`,
      { file: files.name },
    );
  }
  const requested = options.pooling === undefined ? undefined : resolvePooling(options.pooling);
  if (config.string('model_type') === 'model2vec') {
    const projections: Head['projections'] = config.boolean('normalize') ? [{ kind: 'normalize' }] : [];
    const encoder = await readStaticModule(files, '');
    return {
      ...encoder,
      head: { pooling: requested ?? createPooling('mean'), projections },
      headSource: 'modules',
      notes: [],
    };
  }
  refuseOtherTasks(config);
  const encoder = await readTransformerModule(files, '');
  if (requested !== undefined)
    return { ...encoder, head: { pooling: requested, projections: [] }, headSource: 'caller', notes: [] };
  const output = await findGraphOutput(encoder);
  if (output !== undefined) {
    return {
      ...encoder,
      head: { pooling: graphPooling(output), projections: [] },
      headSource: 'graph',
      notes: [`${files.name} has no modules.json; the vectors are the output "${output.name}" of its ONNX file.`],
    };
  }
  const card = await readModelCard(files);
  const base = await findBaseModel(files, card, readBaseModel);
  if (typeof base === 'object' && base.headSource !== 'assumed') return withHeadOf(base, files, encoder);
  if (typeof base !== 'object') await refuseSentenceModel(files, card, base);
  const mode = isCausal(config) ? 'lasttoken' : 'mean';
  return {
    ...encoder,
    head: { pooling: createPooling(mode), projections: [] },
    headSource: 'assumed',
    notes: [
      `${files.name} has no modules.json, so the pooling "${mode}" was assumed, as sentence-transformers does. Set "pooling" to the pooling that the model was trained with, if it was trained for embeddings.`,
    ],
  };
}

/** Reads a module with static embeddings. */
export async function readStaticModule(files: ModelFiles, encoderPath: string): Promise<EncoderPart> {
  const encoderFiles = subfolder(files, encoderPath);
  const staticEncoder = await loadStaticEmbedding(encoderFiles);
  return {
    encoder: 'static',
    encoderPath,
    encoderFiles,
    staticEncoder,
    hiddenSize: staticEncoder.hiddenSize,
    maxLength: undefined,
    lowerCase: false,
    addSpecialTokens: false,
  };
}

/** Classes of transformers whose heads give classes, spans or choices instead of vectors. */
const otherTask = /For(?:\w*Classification|QuestionAnswering|MultipleChoice|\w*Segmentation|\w*Detection)$/u;

function refuseOtherTasks(config: ConfigFile): void {
  const names = [config.values['architectures']].flat().filter((name) => typeof name === 'string');
  const name = names.find((each) => otherTask.test(each));
  if (name === undefined) return;
  throw new SentvecError(
    'unsupported-model',
    `${config.file} describes a ${name}, which is not an embedder: it was trained to predict classes or scores, so its token vectors are not useful embeddings.`,
    { file: config.file, architecture: name },
  );
}

/**
 * The base model that the card names; a reason (string) if it could not be read; `undefined` if the card names none.
 */
async function findBaseModel(
  files: ModelFiles,
  { baseModel }: ModelCard,
  readBaseModel: ReadBaseModel,
): Promise<ModelFolder | string | undefined> {
  if (baseModel === undefined || baseModel === files.name) return undefined;
  if (files.related === undefined) return `its base model ${baseModel} is not available`;
  try {
    return await readBaseModel(await files.related(baseModel));
  } catch (error) {
    if (!SentvecError.is(error) || error.code === 'aborted') throw error;
    return `its base model ${baseModel} cannot be read: ${error.message}`;
  }
}

function withHeadOf(base: ModelFolder, files: ModelFiles, encoder: EncoderPart): FolderParts & Partial<ModelFolder> {
  if (base.encoder === 'static' || (encoder.hiddenSize ?? base.hiddenSize) !== base.hiddenSize) {
    throw new SentvecError(
      'invalid-model',
      `The card of ${files.name} names ${base.encoderFiles.name} as its base model, but their token vectors differ in length: ${encoder.hiddenSize} and ${base.hiddenSize}. Set "pooling" to the pooling that the model needs.`,
      { file: files.name },
    );
  }
  const { head, lowerCase, maxLength, prompts, defaultPrompt, similarityFunction, truncateDim } = base;
  return {
    ...encoder,
    lowerCase,
    maxLength: maxLength ?? encoder.maxLength,
    prompts,
    defaultPrompt,
    similarityFunction,
    truncateDim,
    head,
    headSource: 'base-model',
    notes: [
      `${files.name} has no modules.json; pooling and projections are those of ${base.encoderFiles.name}, its base model.`,
    ],
  };
}

/**
 * @throws SentvecError `unsupported-model` when the card describes a sentence embedding model or a conversion of
 * another model
 */
async function refuseSentenceModel(files: ModelFiles, card: ModelCard, why: string | undefined): Promise<void> {
  const hasWeights = (await files.list()).some((path) => /^model.*\.safetensors$/u.test(path));
  const isConversion = card.isConversion || (card.baseModel !== undefined && !hasWeights);
  if (!card.isSentenceModel && !isConversion) return;
  const kind = card.isSentenceModel ? 'a sentence embedding model' : 'a conversion of another model';
  const base = card.baseModel === undefined ? 'the original model' : card.baseModel;
  throw new SentvecError(
    'unsupported-model',
    `${files.name} has no modules.json, so its pooling is unknown, although its card describes ${kind}${why === undefined ? '' : `; ${why}`}. ` +
      `Load ${base} instead, or set "pooling" as the card describes it, for example { pooling: 'mean' } or { pooling: 'cls' }.`,
    { file: files.name, baseModel: card.baseModel },
  );
}

/**
 * Whether sentence-transformers pools by the last token: it does so for causal language models, unless their attention
 * is bidirectional.
 */
function isCausal(config: ConfigFile): boolean {
  const names = config.values['architectures'];
  const first: unknown = Array.isArray(names) ? names[0] : undefined;
  return typeof first === 'string' && first.endsWith('ForCausalLM') && config.values['is_causal'] !== false;
}
