import { SentvecError } from '../errors.ts';
import type { PoolingPlugin } from '../pooling/pooling-plugin.ts';
import type { ModelModule } from './modules.ts';
import { isProjectionKind } from './projection-module.ts';

/** The modules of a folder, by their roles. */
export interface ModuleRoles {
  readonly encoder: ModelModule;
  /** `undefined` for static embeddings, which are always averaged. */
  readonly pooling: ModelModule | undefined;
  readonly projections: readonly ModelModule[];
}

/**
 * Sorts modules into encoder, pooling and projections.
 * @param file the file that lists them, for messages
 * @throws SentvecError `unsupported-model` for an unknown module, or for a module in a position that sentvec does not
 * support; `invalid-model` without a pooling
 */
export function assignRoles(
  file: string,
  modules: readonly ModelModule[],
  plugins: readonly PoolingPlugin[],
): ModuleRoles {
  const isPooling = ({ kind }: ModelModule): boolean => kind === 'Pooling' || plugins.some(({ name }) => name === kind);
  const isEncoder = ({ kind }: ModelModule): boolean => kind === 'Transformer' || kind === 'StaticEmbedding';
  const unknown = modules.find((module) => !isEncoder(module) && !isPooling(module) && !isProjectionKind(module.kind));
  if (unknown !== undefined) throw unknownModule(file, unknown);
  const [encoder, ...rest] = modules;
  if (encoder === undefined) throw new SentvecError('invalid-model', `${file} lists no modules.`, { file });
  if (!isEncoder(encoder)) throw misplacedModule(file, encoder);
  const pooling = encoder.kind === 'Transformer' && rest[0] && isPooling(rest[0]) ? rest[0] : undefined;
  const projections = pooling === undefined ? rest : rest.slice(1);
  const misplaced = projections.find(({ kind }) => !isProjectionKind(kind));
  if (misplaced !== undefined) throw misplacedModule(file, misplaced);
  if (pooling === undefined && encoder.kind === 'Transformer') {
    throw new SentvecError('invalid-model', `${file} has no Pooling after the Transformer.`, { file });
  }
  return { encoder, pooling, projections };
}

function unknownModule(file: string, { type }: ModelModule): SentvecError {
  return new SentvecError(
    'unsupported-model',
    `${file} names the module "${type}", which sentvec does not support. If it is a pooling, implement it with definePooling and pass it in "poolings".`,
    { file, module: type },
  );
}

function misplacedModule(file: string, { type }: ModelModule): SentvecError {
  return new SentvecError(
    'unsupported-model',
    `${file} has the module "${type}" in a position that sentvec does not support. It supports a Transformer and one Pooling, or a StaticEmbedding, followed by any of Dense, LayerNorm, Normalize and Dropout.`,
    { file, module: type },
  );
}
