// Reads the configs of a Transformer module, and adds the base model to a folder that contains only an adapter.
import { SentvecError } from '../errors.ts';
import type { ModelFiles } from '../types.ts';
import { readConfigFile, type ConfigFile } from './config-file.ts';
import { isObject } from './json.ts';
import type { EncoderPart } from './model-folder.ts';
import { subfolder } from './model-files.ts';

/** The file names that sentence-transformers has used for the module's config. */
export const configNames: readonly string[] = [
  'sentence_bert_config.json',
  'sentence_roberta_config.json',
  'sentence_distilbert_config.json',
  'sentence_camembert_config.json',
  'sentence_albert_config.json',
  'sentence_xlm-roberta_config.json',
  'sentence_xlnet_config.json',
];

/** Larger values of `model_max_length` mean that there is no limit: transformers writes 1e30. */
const largestPlausibleLength = 1e9;

/** The values of `transformer_task` since version 6 of sentence-transformers, with the outputs of each. */
const transformerTasks = {
  'feature-extraction': { output: 'token_embeddings', methodOutput: 'last_hidden_state' },
  'fill-mask': { output: 'token_embeddings', methodOutput: 'logits' },
  'sequence-classification': { output: 'scores', methodOutput: 'logits' },
  'text-generation': { output: 'causal_logits', methodOutput: 'logits' },
} as const;

/** A value of `transformer_task`. */
type TransformerTask = keyof typeof transformerTasks;

/**
 * Reads the configs of a Transformer module. `max_seq_length` takes precedence over the tokenizer's `model_max_length`,
 * as in `sentence_transformers/base/modules/transformer.py`.
 * @throws SentvecError `invalid-model`; `unsupported-model` when the module has another task or an unsupported setting
 */
export async function readTransformerModule(
  files: ModelFiles,
  encoderPath: string,
  supported: TransformerSupport = {},
): Promise<EncoderPart> {
  const encoderFiles = await completeAdapter(subfolder(files, encoderPath), files.related);
  const module = await readTransformerConfig(encoderFiles);
  if (module !== undefined) checkTask(module, supported);
  const architecture = await readConfigFile(encoderFiles, 'config.json');
  return {
    encoder: 'transformer',
    encoderPath,
    encoderFiles,
    staticEncoder: undefined,
    hiddenSize: architecture && tokenSize(architecture),
    maxLength:
      module?.size('max_seq_length') ?? tokenizerLimit(await readConfigFile(encoderFiles, 'tokenizer_config.json')),
    lowerCase: module?.boolean('do_lower_case') ?? false,
    addSpecialTokens: true,
  };
}

/** Settings of the module that the caller supports. */
export interface TransformerSupport {
  /**
   * What the caller uses the module for.
   * @default 'feature-extraction': token vectors of a text
   */
  readonly task?: TransformerTask | undefined;
  /**
   * Whether the caller supports `query_expansion`.
   * @default false
   */
  readonly queryExpansion?: boolean | undefined;
}

/** The config of a Transformer module, by any of its names; `undefined` when the folder has none. */
export async function readTransformerConfig(encoderFiles: ModelFiles): Promise<ConfigFile | undefined> {
  const present = await encoderFiles.list();
  const name = configNames.find((candidate) => present.includes(candidate));
  return name === undefined ? undefined : readConfigFile(encoderFiles, name);
}

/**
 * Length of token vectors. A bidirectional Qwen3 with `num_labels`, such as voyage-4-nano, projects them to that
 * length.
 */
function tokenSize(config: ConfigFile): number | undefined {
  if (config.values['model_type'] === 'qwen3' && config.values['use_bidirectional_attention'] === true)
    return config.size('num_labels') ?? config.size('hidden_size');
  return config.size('hidden_size') ?? config.size('dim') ?? config.size('d_model');
}

/** Adds the base model to a folder that contains only an adapter; returns any other folder unchanged. */
export async function completeAdapter(files: ModelFiles, related: ModelFiles['related']): Promise<ModelFiles> {
  if (!(await files.list()).includes('adapter_config.json')) return files;
  const { withBaseModel } = await import('../weights/adapter.ts');
  return withBaseModel(files, related);
}

function tokenizerLimit(config: ConfigFile | undefined): number | undefined {
  const limit = config?.number('model_max_length');
  return limit !== undefined && Number.isInteger(limit) && limit >= 1 && limit <= largestPlausibleLength
    ? limit
    : undefined;
}

/**
 * Refuses settings of sentence-transformers 6 with which the module would use other heads, inputs or outputs than the
 * default ones of its task.
 */
function checkTask(
  config: ConfigFile,
  { task = 'feature-extraction', queryExpansion = false }: TransformerSupport,
): void {
  const { output, methodOutput } = transformerTasks[task];
  const text = config.object('modality_config')?.object('text');
  const settings: [string, string | undefined, string][] = [
    ['transformer_task', config.string('transformer_task'), task],
    ['module_output_name', config.string('module_output_name'), output],
    ['method', text?.string('method'), 'forward'],
    ['method_output_name', text?.string('method_output_name'), methodOutput],
  ];
  for (const [key, value, plain] of settings)
    if (value !== undefined && value !== plain) throw unsupported(config, `"${key}": "${value}"`);
  if (config.object('modality_config') !== undefined && text === undefined)
    throw unsupported(config, 'a "modality_config" without "text"');
  if (!queryExpansion && config.object('query_expansion') !== undefined) throw unsupported(config, '"query_expansion"');
  for (const group of ['text', 'common']) {
    const options = config.object('processing_kwargs')?.values[group];
    const [option] = isObject(options) ? Object.keys(options) : [];
    if (option !== undefined) throw unsupported(config, `the option "${option}" in "processing_kwargs"`);
  }
}

function unsupported(config: ConfigFile, what: string): SentvecError {
  return new SentvecError('unsupported-model', `${config.file} requires ${what}, which sentvec does not support.`, {
    file: config.file,
  });
}
