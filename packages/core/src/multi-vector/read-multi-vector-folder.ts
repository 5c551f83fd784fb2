/**
 * Reads the folder of a late-interaction model in any of its three layouts: that of sentence-transformers 6
 * (`MultiVectorEncoder`), of PyLate (`ColBERT`), and of Stanford's ColBERT (`artifact.metadata`).
 */
import { SentvecError } from '../errors.ts';
import { readConfigFile } from '../model-folder/config-file.ts';
import { listedOnce } from '../model-folder/model-files.ts';
import type { ModelFolder } from '../model-folder/model-folder.ts';
import { checkModelKind } from '../model-folder/model-kind.ts';
import { readPrompts } from '../model-folder/model-settings.ts';
import { readModules, type ModelModule } from '../model-folder/modules.ts';
import { readProjections } from '../model-folder/read-head.ts';
import { isProjectionKind } from '../model-folder/projection-module.ts';
import { readTransformerConfig, readTransformerModule } from '../model-folder/transformer-module.ts';
import { tokenPooling } from '../pooling/pooling.ts';
import type { ModelFiles, Projection } from '../types.ts';
import { readWeights } from '../weights/read-weights.ts';
import {
  readExpansion,
  readLegacySettings,
  readMask,
  readPoolingModule,
  stanfordSettings,
  type LateSettings,
  type MaskSettings,
} from './late-settings.ts';
import type { MultiVectorFolder } from './multi-vector-types.ts';

/** Modules that only late-interaction models have. Besides projections, they may follow the Transformer. */
const ownKinds: ReadonlySet<string> = new Set(['MultiVectorMask', 'HierarchicalTokenPooling']);

/**
 * Reads the configuration of a late-interaction model. The folder is untrusted: nothing in it is executed, and paths
 * cannot lead out of it.
 * @throws SentvecError `invalid-model` for a folder that is incomplete, broken or contradicts itself;
 * `unsupported-model` for a model of another kind, and for unsupported modules and settings
 */
export async function readMultiVectorFolder(model: ModelFiles): Promise<MultiVectorFolder> {
  const files = listedOnce(model);
  await checkModelKind(files, 'multi-vector');
  const modules = await readModules(files);
  if (modules === undefined) return readStanfordFolder(files);
  const config = await readConfigFile(files, 'config_sentence_transformers.json');
  const legacy = config && readLegacySettings(config);
  const type = config?.string('model_type');
  const isNative = type === 'MultiVectorEncoder' || legacy === undefined;
  const [transformer, ...rest] = modules;
  if (transformer?.kind !== 'Transformer') throw unknownModule(files, transformer);
  const encoder = await readTransformerModule(files, transformer.path, { queryExpansion: true });
  const module = await readTransformerConfig(encoder.encoderFiles);
  // PyLate does not list the final normalization, and before version 1.2 it listed a Pooling that it did not use.
  const used = isNative || type === 'ColBERT' ? rest : rest.filter(({ kind }) => kind !== 'Pooling');
  const projections = await readTokenProjections(files, used, encoder.hiddenSize);
  if (!isNative) projections.push({ kind: 'normalize' });
  const listedMask = used.find(({ kind }) => kind === 'MultiVectorMask');
  const mask = listedMask && (await readMask(files, listedMask.path));
  const pooling = used.find(({ kind }) => kind === 'HierarchicalTokenPooling');
  const configuredExpansion =
    module !== undefined && Object.hasOwn(module.values, 'query_expansion') ? readExpansion(module) : legacy?.expansion;
  // Expansion tokens that no token attends to give vectors only with a MultiVectorMask; otherwise they have no effect.
  const expansion =
    legacy === undefined && listedMask === undefined && configuredExpansion?.attend === false
      ? undefined
      : configuredExpansion;
  const settings: LateSettings = {
    lengths: {
      query: module?.size('query_length') ?? legacy?.lengths.query ?? encoder.maxLength,
      document: module?.size('document_length') ?? legacy?.lengths.document ?? encoder.maxLength,
    },
    expansion,
    mask: mask ?? legacy?.mask ?? noMask,
    prefixes: legacy?.prefixes ?? {},
  };
  return folderOf(encoder, projections, settings, {
    prompts: config === undefined ? {} : readPrompts(config),
    similarity: config?.string('similarity_fn_name') === 'meanmaxsim' ? 'mean-max' : 'max',
    pooling: pooling && (await readPoolingModule(files, pooling.path)),
  });
}

/** Query expansion tokens take the place of padding. With `padding_side: left` they would come before the text. */
async function refuseLeftPadding(encoderFiles: ModelFiles): Promise<void> {
  const config = await readConfigFile(encoderFiles, 'tokenizer_config.json');
  if (config?.string('padding_side') !== 'left') return;
  throw new SentvecError(
    'unsupported-model',
    `${config.file} sets "padding_side" to "left", so expansion tokens would come before the query's text. sentvec does not support this.`,
    { file: config.file },
  );
}

const noMask: MaskSettings = { words: [], roles: ['document'], onlyIds: undefined };

/** Reads a checkpoint of Stanford's ColBERT: an encoder whose weights contain the projection. */
async function readStanfordFolder(files: ModelFiles): Promise<MultiVectorFolder> {
  const metadata = await readConfigFile(files, 'artifact.metadata');
  const encoder = await readTransformerModule(files, '');
  const settings = stanfordSettings(metadata, encoder.maxLength);
  const { shape, data } = (await readWeights(files)).tensor('linear.weight');
  const [rows, cols] = shape;
  if (shape.length !== 2 || (encoder.hiddenSize !== undefined && cols !== encoder.hiddenSize)) {
    const message = `The tensor "linear.weight" of ${files.name} has the shape [${shape.join(', ')}]; it must have ${encoder.hiddenSize} columns, the length of the encoder's token vectors.`;
    throw new SentvecError('invalid-model', message, { file: 'model.safetensors', tensor: 'linear.weight' });
  }
  const projections: Projection[] = [
    { kind: 'dense', weight: { data, rows: rows!, cols: cols! }, activation: 'Identity' },
    { kind: 'normalize' },
  ];
  const notes =
    metadata === undefined
      ? [`${files.name} has no artifact.metadata, so the markers and lengths of ColBERTv2 are used.`]
      : [];
  return folderOf(encoder, projections, settings, { prompts: {}, similarity: 'max', notes });
}

async function folderOf(
  encoder: Omit<ModelFolder, keyof ModelFolderRest>,
  projections: readonly Projection[],
  { lengths, expansion, mask, prefixes }: LateSettings,
  rest: {
    readonly prompts: Readonly<Record<string, string>>;
    readonly similarity: MultiVectorFolder['similarity'];
    readonly pooling?: MultiVectorFolder['tokenPooling'];
    readonly notes?: readonly string[];
  },
): Promise<MultiVectorFolder> {
  if (expansion !== undefined) await refuseLeftPadding(encoder.encoderFiles);
  const prompts = { ...rest.prompts };
  for (const [role, prefix] of Object.entries(prefixes)) prompts[role] ||= prefix;
  return {
    ...encoder,
    prompts,
    defaultPrompt: undefined,
    similarityFunction: 'dot',
    truncateDim: undefined,
    markers: Object.values(prefixes),
    head: { pooling: tokenPooling(), projections },
    headSource: 'modules',
    notes: rest.notes ?? [],
    lengths,
    expansion,
    mask,
    tokenPooling: rest.pooling,
    similarity: rest.similarity,
  };
}

type ModelFolderRest = Pick<
  ModelFolder,
  'prompts' | 'defaultPrompt' | 'similarityFunction' | 'truncateDim' | 'head' | 'headSource' | 'route' | 'notes'
>;

/** Reads the projections that are applied to each token's vector, up to the token pooling. */
async function readTokenProjections(
  files: ModelFiles,
  modules: readonly ModelModule[],
  hiddenSize: number | undefined,
): Promise<Projection[]> {
  let pooled = false;
  for (const module of modules) {
    if (!isProjectionKind(module.kind) && !ownKinds.has(module.kind)) throw unknownModule(files, module);
    pooled ||= module.kind === 'HierarchicalTokenPooling';
    if (pooled && isProjectionKind(module.kind)) throw unknownModule(files, module);
  }
  return readProjections(files, modules, hiddenSize, 'token_embeddings');
}

function unknownModule(files: ModelFiles, module: ModelModule | undefined): SentvecError {
  const file = `${files.name}/modules.json`;
  return new SentvecError(
    'unsupported-model',
    `${file} has the module "${module?.type}" in a position that sentvec does not support. A late-interaction model has a Transformer, followed by any of Dense, LayerNorm, Normalize, Dropout and MultiVectorMask, and optionally HierarchicalTokenPooling at the end.`,
    { file, module: module?.type },
  );
}
