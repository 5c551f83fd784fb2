/** Reads the configuration of a model folder. */
import type { ModelFiles } from '../types.ts';
import { listedOnce, withChanges } from './model-files.ts';
import type { FindGraphOutput, ModelFolder, ModelFolderOptions } from './model-folder.ts';
import { checkModelKind } from './model-kind.ts';
import { readModelSettings } from './model-settings.ts';
import { assignRoles } from './module-roles.ts';
import { readModules, type ModelModule } from './modules.ts';
import type { FolderParts } from './plain-folder.ts';
import { readHead } from './read-head.ts';
import { checkNoRoute, followRoute } from './router-module.ts';
import { readTransformerModule } from './transformer-module.ts';

export type { EncoderPart, HeadSource, ModelFolder, ModelFolderOptions, ModelSettings } from './model-folder.ts';

/**
 * Reads the configuration of a folder of sentence-transformers (versions 2 to 6), of model2vec, or of transformers. The
 * folder is untrusted: nothing in it is executed, and paths cannot lead out of it.
 * @throws SentvecError `invalid-model` for a folder that is incomplete, broken or contradicts itself;
 * `unsupported-model` for an unsupported module, activation, pooling or setting, which the message names with its file,
 * and for a sentence embedding model whose folder does not specify a pooling.
 */
export function readModelFolder(files: ModelFiles, options: ModelFolderOptions = {}): Promise<ModelFolder> {
  return readFolder(files, options, async () => undefined);
}

/** Like {@link readModelFolder}, for callers that can read the outputs of an ONNX file. */
export async function readFolder(
  files: ModelFiles,
  options: ModelFolderOptions,
  findGraphOutput: FindGraphOutput,
  descendants: readonly string[] = [],
): Promise<ModelFolder> {
  const listed = listedOnce(files);
  await checkModelKind(listed, 'embedder');
  const settings = await readModelSettings(listed);
  const modules = await readModules(listed);
  if (modules !== undefined) return { ...settings, ...(await readModuleFolder(listed, modules, options)) };
  checkNoRoute(listed, options.route);
  const readBaseModel = (base: ModelFiles): Promise<ModelFolder> => {
    const chain = [...descendants, files.name];
    // Stop at cards that name each other, and at long chains.
    const related = chain.includes(base.name) || chain.length >= maxBaseModels ? undefined : base.related;
    return readFolder(withChanges(base, { related }), options, async () => undefined, chain);
  };
  const { readPlainFolder } = await loadPlainFolders();
  return { ...settings, ...(await readPlainFolder(listed, options, findGraphOutput, readBaseModel)) };
}

/** Imported only when needed: most folders have modules.json and a Transformer. */
const loadPlainFolders = () => import('./plain-folder.ts');

/** Maximum length of a chain of base models. */
const maxBaseModels = 4;

async function readModuleFolder(
  files: ModelFiles,
  modules: readonly ModelModule[],
  options: ModelFolderOptions,
): Promise<FolderParts> {
  const { modules: modulesOfRoute, route, routes, notes } = await followRoute(files, modules, options.route);
  const roles = assignRoles(`${files.name}/modules.json`, modulesOfRoute, options.poolings ?? []);
  const isStatic = roles.encoder.kind === 'StaticEmbedding';
  const read = isStatic ? (await loadPlainFolders()).readStaticModule : readTransformerModule;
  const encoder = await read(files, roles.encoder.path);
  const head = await readHead(files, roles, encoder.hiddenSize, options);
  return {
    ...encoder,
    ...head,
    headSource: options.pooling === undefined ? 'modules' : 'caller',
    route,
    routes,
    notes,
  };
}
