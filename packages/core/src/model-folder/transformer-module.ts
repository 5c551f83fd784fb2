// Reads the configs of a Transformer module, and completes a folder that holds only an adapter with its base model.
import { SentvecError } from '../errors.ts';
import type { ModelFiles } from '../types.ts';
import { readConfigFile, type ConfigFile } from './config-file.ts';
import { isObject } from './json.ts';
import type { EncoderPart } from './model-folder.ts';
import { subfolder } from './model-files.ts';

/** The names that sentence-transformers has given the module's config over time. */
export const configNames: readonly string[] = [
  'sentence_bert_config.json',
  'sentence_roberta_config.json',
  'sentence_distilbert_config.json',
  'sentence_camembert_config.json',
  'sentence_albert_config.json',
  'sentence_xlm-roberta_config.json',
  'sentence_xlnet_config.json',
];

/** Tokenizers without a limit say 1e30. */
const largestPlausibleLength = 1e9;

/** What a Transformer module may be told to do since version 6 of sentence-transformers, with what it then gives. */
const transformerTasks = {
  'feature-extraction': { output: 'token_embeddings', methodOutput: 'last_hidden_state' },
  'fill-mask': { output: 'token_embeddings', methodOutput: 'logits' },
  'sequence-classification': { output: 'scores', methodOutput: 'logits' },
  'text-generation': { output: 'causal_logits', methodOutput: 'logits' },
} as const;

/** The name of one of them. */
type TransformerTask = keyof typeof transformerTasks;

/**
 * Reads the configs of a Transformer module. `max_seq_length` wins over the tokenizer's `model_max_length`, as in
 * `sentence_transformers/base/modules/transformer.py`.
 * @throws SentvecError `invalid-model`; `unsupported-model` when the module does something else
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

/** What the caller can do besides token vectors of a text. */
export interface TransformerSupport {
  /**
   * What the caller uses the module for.
   * @default 'feature-extraction': token vectors of a text
   */
  readonly task?: TransformerTask | undefined;
  /** @default false */
  readonly queryExpansion?: boolean | undefined;
}

/** The config of a Transformer module, by any of its names; `undefined` when the folder has none. */
export async function readTransformerConfig(encoderFiles: ModelFiles): Promise<ConfigFile | undefined> {
  const present = await encoderFiles.list();
  const name = configNames.find((candidate) => present.includes(candidate));
  return name === undefined ? undefined : readConfigFile(encoderFiles, name);
}

/** How long the vectors of tokens are. Those of a bidirectional Qwen3 with labels are projected, as voyage-4-nano's are. */
function tokenSize(config: ConfigFile): number | undefined {
  if (config.values['model_type'] === 'qwen3' && config.values['use_bidirectional_attention'] === true)
    return config.size('num_labels') ?? config.size('hidden_size');
  return config.size('hidden_size') ?? config.size('dim') ?? config.size('d_model');
}

/** A folder that holds only an adapter, with the model that it adapts; any other folder unchanged. */
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
 * Since version 6 the module can run other heads, other inputs and other outputs. Only the plain case of a task is what
 * sentvec computes.
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
  return new SentvecError('unsupported-model', `${config.file} asks for ${what}, which sentvec does not do.`, {
    file: config.file,
  });
}
