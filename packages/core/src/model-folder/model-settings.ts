// Reads the settings of a whole model: prompts, similarity function, and the dimension to truncate vectors to.
import { SentvecError } from '../errors.ts';
import type { ModelFiles, SimilarityFunction } from '../types.ts';
import { readConfigFile, type ConfigFile } from './config-file.ts';
import type { ModelSettings } from './model-folder.ts';

const similarityFunctions: readonly SimilarityFunction[] = ['cosine', 'dot', 'euclidean', 'manhattan'];

/**
 * Reads `config_sentence_transformers.json`. Without this file there are no prompts, and the similarity function is
 * cosine.
 * @throws SentvecError `invalid-model`, `unsupported-model` (an unknown similarity)
 */
export async function readModelSettings(files: ModelFiles): Promise<ModelSettings> {
  const config = await readConfigFile(files, 'config_sentence_transformers.json');
  if (config === undefined)
    return { prompts: {}, defaultPrompt: undefined, similarityFunction: 'cosine', truncateDim: undefined };
  const prompts = readPrompts(config);
  const defaultPrompt = config.string('default_prompt_name');
  if (defaultPrompt !== undefined && !Object.hasOwn(prompts, defaultPrompt)) {
    throw new SentvecError(
      'invalid-model',
      `${config.file} makes "${defaultPrompt}" the default prompt, but has no prompt of that name.`,
      {
        file: config.file,
      },
    );
  }
  return {
    prompts,
    defaultPrompt,
    similarityFunction: readSimilarity(config),
    truncateDim: config.size('truncate_dim'),
  };
}

/** The prompts of `config_sentence_transformers.json`, by name. */
export function readPrompts(config: ConfigFile): Readonly<Record<string, string>> {
  const prompts = config.object('prompts');
  // A prompt that is null was never filled in: it counts as empty.
  return Object.fromEntries(Object.keys(prompts?.values ?? {}).map((name) => [name, prompts?.string(name) ?? '']));
}

function readSimilarity(config: ConfigFile): SimilarityFunction {
  const name = config.string('similarity_fn_name') ?? 'cosine';
  const known = similarityFunctions.find((similarity) => similarity === name);
  if (known !== undefined) return known;
  throw new SentvecError(
    'unsupported-model',
    `${config.file} names the similarity "${name}", which sentvec does not support. Supported are ${similarityFunctions.join(', ')}.`,
    { file: config.file },
  );
}
