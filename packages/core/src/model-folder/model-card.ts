/** Reads the metadata of a model card (`README.md`) that say where the model comes from. */
import { SentvecError } from '../errors.ts';
import { isObject } from './json.ts';
import type { ModelFiles } from '../types.ts';

/** Metadata of a model card. Without a card, everything is `undefined` or `false`. */
export interface ModelCard {
  /** The hub name of the model that this one is derived from; `undefined` if the card names several. */
  readonly baseModel: string | undefined;
  /** The model name under which the card reports evaluation results (`model-index`), if there is exactly one. */
  readonly resultsOf: string | undefined;
  /** Whether the card describes a sentence embedding model. */
  readonly isSentenceModel: boolean;
  /** Whether the card says that the model was converted or quantized from its base model. */
  readonly isConversion: boolean;
}

/** How many bytes of a card are searched for its metadata, which are at the beginning (YAML front matter). */
const frontMatterBytes = 2 ** 16;

/** Maximum size of a card in bytes. */
const maxCardBytes = 2 ** 24;

/**
 * Reads the YAML front matter of a model card. Metadata that cannot be parsed are ignored, since a model works without
 * its card.
 * @throws SentvecError `invalid-model` for a file that is too large for a card
 */
export async function readModelCard(files: ModelFiles): Promise<ModelCard> {
  const fields = await readFields(files);
  const results = [fields['model-index']].flat().map((model) => (isObject(model) ? model['name'] : undefined));
  const bases = [fields['base_model']].flat().filter((base) => typeof base === 'string');
  const tags = new Set([fields['tags']].flat());
  const library = fields['library_name'];
  return {
    baseModel: bases.length === 1 ? bases[0] : undefined,
    resultsOf: results.length === 1 && typeof results[0] === 'string' ? results[0] : undefined,
    isSentenceModel:
      library === 'sentence-transformers' ||
      tags.has('sentence-transformers') ||
      fields['pipeline_tag'] === 'sentence-similarity',
    isConversion:
      library === 'transformers.js' || tags.has('transformers.js') || fields['base_model_relation'] === 'quantized',
  };
}

async function readFields(files: ModelFiles): Promise<Readonly<Record<string, unknown>>> {
  if (!(await files.list()).includes('README.md')) return {};
  const size = (await files.size?.('README.md')) ?? 0;
  if (size > maxCardBytes) {
    const file = `${files.name}/README.md`;
    throw new SentvecError('invalid-model', `${file} has ${size} bytes: it is not a model card.`, { file });
  }
  const text = new TextDecoder().decode((await files.read('README.md')).subarray(0, frontMatterBytes));
  const header = /^\uFEFF?---\r?\n(.*?)\r?\n---\s*(?:\n|$)/su.exec(text)?.[1];
  if (header === undefined) return {};
  try {
    const { parse } = await import('yaml');
    const fields: unknown = parse(header);
    return isObject(fields) ? fields : {};
  } catch {
    return {};
  }
}
