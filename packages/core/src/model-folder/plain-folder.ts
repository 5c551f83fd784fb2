/** A folder without `modules.json`: an encoder, and the question of how its token vectors become one vector. */
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

/** Reads the model that a card names as the base. */
export type ReadBaseModel = (files: ModelFiles) => Promise<ModelFolder>;

/**
 * Reads a plain transformers or model2vec folder. How the vectors of tokens become one vector is decided by the first
 * of these that says: the caller, an output of the ONNX file, the modules of the base model. Where none does, a folder
 * that is known to be a sentence embedder is refused, and any other encoder gets the default of sentence-transformers.
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
  const asked = options.pooling === undefined ? undefined : resolvePooling(options.pooling);
  if (config.string('model_type') === 'model2vec') {
    const projections: Head['projections'] = config.boolean('normalize') ? [{ kind: 'normalize' }] : [];
    const encoder = await readStaticModule(files, '');
    return {
      ...encoder,
      head: { pooling: asked ?? createPooling('mean'), projections },
      headSource: 'modules',
      notes: [],
    };
  }
  refuseOtherTasks(config);
  const encoder = await readTransformerModule(files, '');
  if (asked !== undefined)
    return { ...encoder, head: { pooling: asked, projections: [] }, headSource: 'caller', notes: [] };
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
      `${files.name} has no modules.json, so the pooling "${mode}" was assumed, as sentence-transformers does. Pass the pooling that the model was trained with, if it was trained to compare texts.`,
    ],
  };
}

/** An encoder of static embeddings, in a folder inside the model. */
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

/** Heads of transformers that give classes, spans or choices instead of vectors. */
const otherTask = /For(?:\w*Classification|QuestionAnswering|MultipleChoice|\w*Segmentation|\w*Detection)$/u;

function refuseOtherTasks(config: ConfigFile): void {
  const names = [config.values['architectures']].flat().filter((name) => typeof name === 'string');
  const name = names.find((each) => otherTask.test(each));
  if (name === undefined) return;
  throw new SentvecError(
    'unsupported-model',
    `${config.file} describes a ${name}, which is not an embedder: it was trained to give classes or scores, and its token vectors say little about meaning.`,
    { file: config.file, architecture: name },
  );
}

/** The base model that the card names; else why it could not be read, `undefined` when the card names none. */
async function findBaseModel(
  files: ModelFiles,
  { baseModel }: ModelCard,
  readBaseModel: ReadBaseModel,
): Promise<ModelFolder | string | undefined> {
  if (baseModel === undefined || baseModel === files.name) return undefined;
  if (files.related === undefined) return `its base model ${baseModel} is not available here`;
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
      `${files.name} says that it was made of ${base.encoderFiles.name}, but their token vectors differ in length: ${encoder.hiddenSize} and ${base.hiddenSize}. Pass the pooling that it needs.`,
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

/** @throws SentvecError `unsupported-model` for what the card calls a model of sentences, or a conversion of a model */
async function refuseSentenceModel(files: ModelFiles, card: ModelCard, why: string | undefined): Promise<void> {
  const hasWeights = (await files.list()).some((path) => /^model.*\.safetensors$/u.test(path));
  const isConversion = card.isConversion || (card.baseModel !== undefined && !hasWeights);
  if (!card.isSentenceModel && !isConversion) return;
  const kind = card.isSentenceModel ? 'a model of sentences' : 'a conversion of another model';
  const base = card.baseModel === undefined ? 'the model that it was made of' : card.baseModel;
  throw new SentvecError(
    'unsupported-model',
    `${files.name} has no modules.json, which says how token vectors become the vector of a text, and its card calls it ${kind}${why === undefined ? '' : `; ${why}`}. ` +
      `Load ${base} instead, or pass the pooling that its card names, such as { pooling: 'mean' } or { pooling: 'cls' }.`,
    { file: files.name, baseModel: card.baseModel },
  );
}

/**
 * sentence-transformers takes the last token of models that were made to predict the next one, unless they attend both
 * ways.
 */
function isCausal(config: ConfigFile): boolean {
  const names = config.values['architectures'];
  const first: unknown = Array.isArray(names) ? names[0] : undefined;
  return typeof first === 'string' && first.endsWith('ForCausalLM') && config.values['is_causal'] !== false;
}
