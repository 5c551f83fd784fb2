// Reads the head of a model (pooling and projections), and checks that the vector lengths of its modules fit together.
import { SentvecError } from '../errors.ts';
import { createPooling } from '../pooling/pooling.ts';
import { resolvePooling } from '../pooling/pooling-plugin.ts';
import { validateProjection, projectionOutputSize } from '../projection/projection.ts';
import type { Head, ModelFiles, Pooling, Projection } from '../types.ts';
import { readConfigFile, requireConfigFile } from './config-file.ts';
import type { ModelFolderOptions } from './model-folder.ts';
import type { ModuleRoles } from './module-roles.ts';
import { filePath, type ModelModule } from './modules.ts';
import { readPoolingModule } from './pooling-module.ts';
import { readProjectionModule, type Feature } from './projection-module.ts';

/** A head, with the length of the token vectors that it expects, if known. */
export interface SizedHead {
  readonly head: Head;
  readonly hiddenSize: number | undefined;
}

/**
 * Reads the modules after the encoder, and checks that each one accepts the output of the one before it.
 * @param encoderSize length of the encoder's token vectors, if the folder states it
 * @param feature what the projections are applied to
 * @throws SentvecError `invalid-model`, `unsupported-model`
 */
export async function readHead(
  files: ModelFiles,
  { pooling: module, projections: modules }: ModuleRoles,
  encoderSize: number | undefined,
  options: ModelFolderOptions,
  feature?: Feature,
): Promise<SizedHead> {
  const stated =
    module === undefined
      ? { pooling: createPooling('mean'), hiddenSize: encoderSize }
      : await readPooling(files, module, options);
  if (encoderSize !== undefined && stated.hiddenSize !== undefined && stated.hiddenSize !== encoderSize) {
    const file = `${files.name}/${filePath(module?.path ?? '', 'config.json')}`;
    throw new SentvecError(
      'invalid-model',
      `${file} expects token vectors of ${stated.hiddenSize}, but the encoder gives ${encoderSize}.`,
      {
        file,
      },
    );
  }
  const hiddenSize = encoderSize ?? stated.hiddenSize;
  const pooling = options.pooling === undefined ? stated.pooling : resolvePooling(options.pooling);
  const projections = await readProjections(files, modules, hiddenSize && pooling.outputSize(hiddenSize), feature);
  return { head: { pooling, projections }, hiddenSize };
}

async function readPooling(
  files: ModelFiles,
  { kind, path }: ModelModule,
  { poolings = [] }: ModelFolderOptions,
): Promise<{ readonly pooling: Pooling; readonly hiddenSize: number | undefined }> {
  const plugin = poolings.find(({ name }) => name === kind);
  if (plugin === undefined)
    return readPoolingModule(await requireConfigFile(files, filePath(path, 'config.json')), poolings);
  const config = await readConfigFile(files, filePath(path, 'config.json'));
  return { pooling: plugin.create(config?.values ?? {}), hiddenSize: undefined };
}

/** @param pooledSize input size of the first module, if known */
export async function readProjections(
  files: ModelFiles,
  modules: readonly ModelModule[],
  pooledSize: number | undefined,
  feature: Feature | undefined,
): Promise<Projection[]> {
  const projections: Projection[] = [];
  let size = pooledSize;
  for (const module of modules) {
    const projection = await readProjectionModule(files, module, feature);
    if (projection === undefined) continue;
    // The size may be unknown until the first dense layer, whose weights state its input size.
    if (projection.kind === 'dense') size ??= projection.weight.cols;
    const problem = size === undefined ? undefined : validateProjection(projection, size);
    if (problem !== undefined) {
      const file = `${files.name}/${module.path}`;
      throw new SentvecError('invalid-model', `The module in ${file} does not fit the modules before it: ${problem}.`, {
        file,
      });
    }
    if (size !== undefined) size = projectionOutputSize(projection, size);
    projections.push(projection);
  }
  return projections;
}
