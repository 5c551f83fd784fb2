// Finds the supported architecture that is most similar to an unsupported one. An error message names it as a starting
// point for a custom architecture.
import type { ConfigReader } from './config.ts';

/** Words in model types that do not identify a family of models. */
const common: ReadonlySet<string> = new Set(['embedding', 'embeddings', 'encoder', 'model', 'text', 'for']);

/** The minimum number of common letters at the start of two related names. */
const minCommonLetters = 4;

/**
 * The most similar `model_type`: one with a similar name (`qwen3` for `qwen3_moe`), otherwise one whose configuration
 * has the same keys. It is only used in an error message.
 */
export function nearestArchitecture(modelType: string, config: ConfigReader, known: readonly string[]): string {
  let nearest: string | undefined;
  let most = minCommonLetters - 1;
  for (const name of known) {
    const letters = commonLetters(modelType, name);
    // Among equally similar names, the shortest is used.
    const isShorter = letters === most && nearest !== undefined && name.length < nearest.length;
    if (letters > most || isShorter) [nearest, most] = [name, letters];
  }
  return nearest ?? architectureByKeys(config);
}

/** The largest number of letters with which a word of each name starts. */
function commonLetters(one: string, other: string): number {
  const words = (name: string): string[] => name.split(/[_-]/u).filter((word) => !common.has(word));
  return Math.max(0, ...words(one).flatMap((a) => words(other).map((b) => commonPrefix(a, b))));
}

function commonPrefix(a: string, b: string): number {
  let length = 0;
  while (length < a.length && a[length] === b[length]) length += 1;
  return length;
}

/**
 * T5 models have relative attention buckets, decoders have grouped keys or RMS normalization; the others are similar to
 * BERT.
 */
function architectureByKeys(config: ConfigReader): string {
  if (config.has('relative_attention_num_buckets')) return 't5';
  return config.has('num_key_value_heads') || config.has('rms_norm_eps') ? 'llama' : 'bert';
}
