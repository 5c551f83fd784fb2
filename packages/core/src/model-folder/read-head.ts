// Reads the head of a model, pooling and projections, and compares the vector lengths that its modules state.
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

/** A head with the length of the token vectors that it is made for, when that is known. */
export interface SizedHead {
  readonly head: Head;
  readonly hiddenSize: number | undefined;
}

/**
 * Reads the modules after the encoder, and checks that each can take what the one before it gives.
 * @param encoderSize length of the encoder's token vectors, when the folder says
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
  const own =
    module === undefined
      ? { pooling: createPooling('mean'), hiddenSize: encoderSize }
      : await readPooling(files, module, options);
  if (encoderSize !== undefined && own.hiddenSize !== undefined && own.hiddenSize !== encoderSize) {
    const file = `${files.name}/${filePath(module?.path ?? '', 'config.json')}`;
    throw new SentvecError(
      'invalid-model',
      `${file} expects token vectors of ${own.hiddenSize}, but the encoder gives ${encoderSize}.`,
      {
        file,
      },
    );
  }
  const hiddenSize = encoderSize ?? own.hiddenSize;
  const pooling = options.pooling === undefined ? own.pooling : resolvePooling(options.pooling);
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

/** @param pooledSize length of the vectors that the first of the modules takes, when it is known */
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
    // Before the first dense layer the size may be unknown; that layer then says what it takes.
    if (projection.kind === 'dense') size ??= projection.weight.cols;
    const problem = size === undefined ? undefined : validateProjection(projection, size);
    if (problem !== undefined) {
      const file = `${files.name}/${module.path}`;
      throw new SentvecError('invalid-model', `The module in ${file} does not fit the ones before it: ${problem}.`, {
        file,
      });
    }
    if (size !== undefined) size = projectionOutputSize(projection, size);
    projections.push(projection);
  }
  return projections;
}
