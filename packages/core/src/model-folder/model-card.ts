/** Reads from the card of a model (`README.md`) where the model comes from. */
import { SentvecError } from '../errors.ts';
import { isObject } from './json.ts';
import type { ModelFiles } from '../types.ts';

/** See {@link readModelCard}. Everything is absent in a folder without a card. */
export interface ModelCard {
  /** The one model that this one was made of, as the hub names it. */
  readonly baseModel: string | undefined;
  /** The name under which the card lists its results, when it lists those of one model. */
  readonly resultsOf: string | undefined;
  /** The card calls it a model of sentences. */
  readonly isSentenceModel: boolean;
  /** The card calls it another form of its base model: converted or quantized. */
  readonly isConversion: boolean;
}

/** Cards are long pages; the fields are at the beginning. */
const longestHeader = 2 ** 16;

/** Bytes of the largest card that is read. */
const largestCard = 2 ** 24;

/**
 * Reads the fields at the beginning of a model card, as far as they can be parsed: a model works without its
 * card.
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
  if (size > largestCard) {
    const file = `${files.name}/README.md`;
    throw new SentvecError('invalid-model', `${file} has ${size} bytes: it is not a model card.`, { file });
  }
  const text = new TextDecoder().decode((await files.read('README.md')).subarray(0, longestHeader));
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
