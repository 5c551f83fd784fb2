// Poolings that are not built in: how they are defined, checked, and chosen beside the built-in ones.
import { SentvecError } from '../errors.ts';
import { createPooling, poolingModes } from './pooling.ts';
import type { Matrix, Pooling, PoolingMode, TokenBatch, TokenEmbeddings } from '../types.ts';

/** What a custom pooling computes: see {@link definePooling}. */
export interface PoolingFunctions {
  /**
   * Length of a text's vector, from that of a token's.
   * @default the same
   */
  outputSize?(hiddenSize: number): number;
  /**
   * One row for each row of `batch`. Tokens with mask 0 must not take part; a row without any token gives zeros; a row
   * does not depend on the other rows. `poolingContract` in `@sentvec/testing` checks this.
   */
  pool(tokens: TokenEmbeddings, batch: TokenBatch): Matrix;
}

/**
 * A kind of pooling that is not built in. Pass it to whatever reads a model: as `poolings`, or as `pooling` to use it
 * at once.
 */
export interface PoolingPlugin {
  /** The last segment of the class path in `modules.json`, or the `pooling_mode`, that names this pooling. */
  readonly name: string;
  /** Makes the pooling, from the `config.json` of its module (`{}` when there is none). */
  create(config: Readonly<Record<string, unknown>>): Pooling;
}

/**
 * Defines a pooling of your own. `create` gets the module's `config.json` and should refuse what it cannot use by
 * throwing. The config goes into the fingerprint of the space; `include_prompt: false` in it keeps the tokens of a
 * prompt out, as for built-in poolings.
 * @throws SentvecError `invalid-argument` when the name is empty or belongs to a built-in pooling
 * @example
 * const scaledMean = definePooling({
 *   name: 'ScaledMean',
 *   create: ({ factor = 0.5 }) => ({
 *     pool: (tokens, batch) => {
 *       const { data, rows, cols } = createPooling('mean').pool(tokens, batch);
 *       return { data: data.map((value) => value * Number(factor)), rows, cols };
 *     },
 *   }),
 * });
 * const embedder = await loadEmbedder(model, { backend, poolings: [scaledMean] });
 */
export function definePooling(definition: {
  readonly name: string;
  create(config: Readonly<Record<string, unknown>>): PoolingFunctions;
}): PoolingPlugin {
  const { name } = definition;
  if (name === '' || name === 'Pooling' || poolingModes.some((mode) => mode === name)) {
    throw new SentvecError('invalid-argument', `A custom pooling needs a name of its own, not "${name}".`);
  }
  return {
    name,
    create: (config) => {
      const functions = definition.create(config);
      const outputSize = (hiddenSize: number): number => functions.outputSize?.(hiddenSize) ?? hiddenSize;
      return {
        name,
        config,
        includePrompt: config['include_prompt'] !== false,
        outputSize,
        pool: (tokens, batch) => checked(name, functions.pool(tokens, batch), batch.rows, outputSize(tokens.cols)),
      };
    },
  };
}

/** A pooling, in any of the forms in which one can be asked for. */
export type PoolingChoice = PoolingMode | readonly PoolingMode[] | Pooling | PoolingPlugin;

/**
 * The pooling that a choice stands for.
 * @throws SentvecError `invalid-argument` for an unknown mode
 */
export function resolvePooling(choice: PoolingChoice): Pooling {
  if (typeof choice === 'string' || isModes(choice)) return createPooling(choice);
  return 'create' in choice ? choice.create({}) : choice;
}

function isModes(choice: PoolingChoice): choice is readonly PoolingMode[] {
  return Array.isArray(choice);
}

function checked(name: string, pooled: Matrix, rows: number, cols: number): Matrix {
  if (pooled.rows === rows && pooled.cols === cols && pooled.data.length === rows * cols) return pooled;
  throw new SentvecError(
    'invalid-argument',
    `The pooling "${name}" gave ${pooled.rows} × ${pooled.cols} numbers (${pooled.data.length} in all) where it promised ${rows} × ${cols}.`,
  );
}
