import { SentvecError } from '../errors.ts';
import { createPooling } from '../pooling/pooling.ts';
import { resolvePooling } from '../pooling/pooling-plugin.ts';
import { loadStaticEmbedding } from './static-embedding.ts';
import type { Head, ModelFiles } from '../types.ts';
import { readConfigFile, type ConfigFile } from './config-file.ts';
import type { EncoderPart, ModelFolder, ModelFolderOptions } from './model-folder.ts';
import { readModelSettings } from './model-settings.ts';
import { assignRoles } from './module-roles.ts';
import { readModules, type ModelModule } from './modules.ts';
import { readHead } from './read-head.ts';
import { subfolder } from './model-files.ts';
import { readTransformerModule } from './transformer-module.ts';

/**
 * Reads a model folder: as sentence-transformers writes it (versions 2 to 6), a model2vec folder, or a plain
 * transformers folder. The folder is untrusted: nothing in it is executed, and no path leaves it.
 * @throws SentvecError `invalid-model` for a folder that is incomplete, broken or contradicts itself;
 * `unsupported-model` for a module, activation, pooling or setting that sentvec does not have. The message names it and
 * the file.
 */
export async function readModelFolder(files: ModelFiles, options: ModelFolderOptions = {}): Promise<ModelFolder> {
  const settings = await readModelSettings(files);
  const modules = await readModules(files);
  const parts =
    modules === undefined ? await readPlainFolder(files, options) : await readModuleFolder(files, modules, options);
  return { ...settings, ...parts };
}

export type { EncoderPart, ModelFolder, ModelFolderOptions, ModelSettings } from './model-folder.ts';

type Parts = EncoderPart & Pick<ModelFolder, 'head' | 'notes'>;

async function readModuleFolder(
  files: ModelFiles,
  modules: readonly ModelModule[],
  options: ModelFolderOptions,
): Promise<Parts> {
  const roles = assignRoles(`${files.name}/modules.json`, modules, options.poolings ?? []);
  const read = roles.encoder.kind === 'StaticEmbedding' ? readStaticModule : readTransformerModule;
  const encoder = await read(files, roles.encoder.path);
  return { ...encoder, ...(await readHead(files, roles, encoder.hiddenSize, options)), notes: [] };
}

/**
 * A folder without `modules.json`: the encoder is all there is, and sentence-transformers would pool by the mean too.
 */
async function readPlainFolder(files: ModelFiles, options: ModelFolderOptions): Promise<Parts> {
  const config = await readConfigFile(files, 'config.json');
  if (config === undefined) {
    throw new SentvecError(
      'invalid-model',
      `${files.name} is no model folder: it has neither modules.json nor config.json.`,
      {
        file: files.name,
      },
    );
  }
  const asked = options.pooling === undefined ? undefined : resolvePooling(options.pooling);
  if (config.string('model_type') === 'model2vec') {
    const projections: Head['projections'] = config.boolean('normalize') ? [{ kind: 'normalize' }] : [];
    return {
      ...(await readStaticModule(files, '')),
      head: { pooling: asked ?? createPooling('mean'), projections },
      notes: [],
    };
  }
  const mode = isCausal(config) ? 'lasttoken' : 'mean';
  const notes = asked === undefined ? [`${files.name} has no modules.json, so the pooling "${mode}" was assumed.`] : [];
  return {
    ...(await readTransformerModule(files, '')),
    head: { pooling: asked ?? createPooling(mode), projections: [] },
    notes,
  };
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

async function readStaticModule(files: ModelFiles, encoderPath: string): Promise<EncoderPart> {
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
