/** Reads a model folder: what its parts are and how to use them. */
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
 * Reads a model folder: as sentence-transformers writes it (versions 2 to 6), a model2vec folder, or a plain
 * transformers folder. The folder is untrusted: nothing in it is executed, and no path leaves it.
 * @throws SentvecError `invalid-model` for a folder that is incomplete, broken or contradicts itself;
 * `unsupported-model` for a module, activation, pooling or setting that sentvec does not have, and for a folder that does
 * not say how to pool though it needs to. The message names it and the file.
 */
export function readModelFolder(files: ModelFiles, options: ModelFolderOptions = {}): Promise<ModelFolder> {
  return readFolder(files, options, async () => undefined);
}

/** As {@link readModelFolder}, for callers that can look into an ONNX file. */
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
    const line = [...descendants, files.name];
    // Cards that name each other lead nowhere.
    const related = line.includes(base.name) || line.length >= longestLine ? undefined : base.related;
    return readFolder(withChanges(base, { related }), options, async () => undefined, line);
  };
  const { readPlainFolder } = await loadPlainFolders();
  return { ...settings, ...(await readPlainFolder(listed, options, findGraphOutput, readBaseModel)) };
}

/** Loaded when a folder needs it: most have modules, and an encoder. */
const loadPlainFolders = () => import('./plain-folder.ts');

/** Models that were each made of the next. */
const longestLine = 4;

async function readModuleFolder(
  files: ModelFiles,
  modules: readonly ModelModule[],
  options: ModelFolderOptions,
): Promise<FolderParts> {
  const { modules: ofRoute, route, routes, notes } = await followRoute(files, modules, options.route);
  const roles = assignRoles(`${files.name}/modules.json`, ofRoute, options.poolings ?? []);
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
