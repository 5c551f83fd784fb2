// Custom poolings: defines them, checks their results, and resolves the `pooling` option.
import { SentvecError } from '../errors.ts';
import { createPooling, poolingModes } from './pooling.ts';
import type { Matrix, Pooling, PoolingMode, TokenBatch, TokenEmbeddings } from '../types.ts';

/** The functions of a custom pooling: see {@link definePooling}. */
export interface PoolingFunctions {
  /**
   * Length of a text's vector, given the length of a token's.
   * @default `hiddenSize`
   */
  outputSize?(hiddenSize: number): number;
  /**
   * Pools a batch: returns one row for each row of `batch`. Tokens with mask 0 must be ignored, a row without tokens
   * must give zeros, and a row must not depend on the other rows. `poolingContract` in `@sentvec/testing` checks this.
   */
  pool(tokens: TokenEmbeddings, batch: TokenBatch): Matrix;
}

/**
 * A custom pooling. Pass it to a loader in `poolings`, to use it for models that name it, or as `pooling`, to use it
 * for any model.
 */
export interface PoolingPlugin {
  /**
   * The name by which models refer to this pooling: the last segment of the class path in `modules.json`, or
   * `pooling_mode`.
   */
  readonly name: string;
  /** Creates the pooling from the `config.json` of its module (`{}` when there is none). */
  create(config: Readonly<Record<string, unknown>>): Pooling;
}

/**
 * Defines a custom pooling. `create` gets the module's `config.json` and should throw for values that it does not
 * support. The config is part of the fingerprint; `include_prompt: false` in it excludes the tokens of a prompt, as for
 * built-in poolings.
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
    throw new SentvecError(
      'invalid-argument',
      `A custom pooling cannot be named "${name}". Choose a name that is not empty and not that of a built-in pooling.`,
    );
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

/** The values of the option `pooling`. */
export type PoolingChoice = PoolingMode | readonly PoolingMode[] | Pooling | PoolingPlugin;

/**
 * The pooling for a value of the option `pooling`.
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
    `The pooling "${name}" gave ${pooled.rows} × ${pooled.cols} numbers (${pooled.data.length} in total), but its outputSize and the batch require ${rows} × ${cols}.`,
  );
}
