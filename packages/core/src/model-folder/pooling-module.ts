// Reads the config of a Pooling module in either of its two formats.
import { SentvecError } from '../errors.ts';
import { createPooling, poolingModes } from '../pooling/pooling.ts';
import type { PoolingPlugin } from '../pooling/pooling-plugin.ts';
import type { Pooling, PoolingMode } from '../types.ts';
import type { ConfigFile } from './config-file.ts';

/**
 * The boolean keys that sentence-transformers wrote before version 6, in the order in which it concatenates the
 * poolings.
 */
const switches: Readonly<Record<string, PoolingMode>> = {
  pooling_mode_cls_token: 'cls',
  pooling_mode_max_tokens: 'max',
  pooling_mode_mean_tokens: 'mean',
  pooling_mode_mean_sqrt_len_tokens: 'mean_sqrt_len_tokens',
  pooling_mode_weightedmean_tokens: 'weightedmean',
  pooling_mode_lasttoken: 'lasttoken',
};

/** The config of a Pooling module: the pooling and, if the config states it, the expected length of token vectors. */
export interface PoolingModule {
  readonly pooling: Pooling;
  readonly hiddenSize: number | undefined;
}

/**
 * Reads the config of a Pooling module, with `pooling_mode` (a name or a list of names) or with the older boolean keys.
 * @throws SentvecError `unsupported-model` for an unknown mode, `invalid-model` for a broken config
 */
export function readPoolingModule(config: ConfigFile, plugins: readonly PoolingPlugin[]): PoolingModule {
  const hiddenSize = config.size('embedding_dimension') ?? config.size('word_embedding_dimension');
  const names = modeNames(config);
  const plugin = plugins.find(({ name }) => names.length === 1 && name === names[0]);
  if (plugin !== undefined) return { pooling: plugin.create(config.values), hiddenSize };
  const unknown = names.find((name) => !isMode(name));
  if (unknown !== undefined) {
    throw new SentvecError(
      'unsupported-model',
      `${config.file} names the pooling "${unknown}", which sentvec does not support. Supported are ${poolingModes.join(', ')}; implement others with definePooling and pass them in "poolings".`,
      { file: config.file, pooling: unknown },
    );
  }
  return {
    pooling: createPooling(names.filter(isMode), { includePrompt: config.boolean('include_prompt') ?? true }),
    hiddenSize,
  };
}

function modeNames(config: ConfigFile): readonly string[] {
  const mode = config.values['pooling_mode'] ?? undefined;
  if (typeof mode === 'string') return [mode];
  if (Array.isArray(mode) && mode.length > 0 && mode.every((name) => typeof name === 'string')) return mode;
  if (mode !== undefined) {
    throw new SentvecError('invalid-model', `"pooling_mode" in ${config.file} must be a name or a list of names.`, {
      file: config.file,
    });
  }
  const unknown = Object.keys(config.values).filter(
    (key) => key.startsWith('pooling_mode_') && !Object.hasOwn(switches, key),
  );
  const on = [...Object.keys(switches), ...unknown]
    .filter((key) => config.boolean(key))
    .map((key) => switches[key] ?? key);
  // sentence-transformers uses mean pooling when no key is true.
  return on.length === 0 ? ['mean'] : on;
}

function isMode(name: string): name is PoolingMode {
  return poolingModes.some((mode) => mode === name);
}
