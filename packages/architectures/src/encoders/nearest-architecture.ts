// Finds the known architecture that is most similar to an unknown one, as the place to begin when adding it.
import type { ConfigReader } from './config.ts';

/** Parts of names that do not tell the family of a model. */
const common: ReadonlySet<string> = new Set(['embedding', 'embeddings', 'encoder', 'model', 'text', 'for']);

/** Names with a shorter common beginning do not count as related. */
const shortestKinship = 4;

/**
 * The nearest `model_type`: one of the same family by its name (`qwen3_moe` is near to `qwen3`), else one whose
 * configuration has the same fields. A hint for the reader of the message; nothing else depends on it.
 */
export function nearestArchitecture(modelType: string, config: ConfigReader, known: readonly string[]): string {
  let nearest: string | undefined;
  let most = shortestKinship - 1;
  for (const name of known) {
    const letters = sharedBeginning(modelType, name);
    // Of several that are as near, the plainest.
    const isPlainer = letters === most && nearest !== undefined && name.length < nearest.length;
    if (letters > most || isPlainer) [nearest, most] = [name, letters];
  }
  return nearest ?? byFields(config);
}

/** Letters with which a word of one name and a word of the other begin. */
function sharedBeginning(one: string, other: string): number {
  const words = (name: string): string[] => name.split(/[_-]/u).filter((word) => !common.has(word));
  return Math.max(0, ...words(one).flatMap((a) => words(other).map((b) => commonPrefix(a, b))));
}

function commonPrefix(a: string, b: string): number {
  let length = 0;
  while (length < a.length && a[length] === b[length]) length += 1;
  return length;
}

/** Buckets of distances are T5's, grouped keys those of decoders; the rest of the encoders descend from BERT. */
function byFields(config: ConfigReader): string {
  if (config.has('relative_attention_num_buckets')) return 't5';
  return config.has('num_key_value_heads') || config.has('rms_norm_eps') ? 'llama' : 'bert';
}
