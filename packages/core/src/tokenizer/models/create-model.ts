import { Component } from '../component.ts';
import { withCache, type Model } from './model.ts';
import type { TokenizerModel } from '../tokenizer-json.ts';
import { createWordLevel, createWordPiece } from './word-piece.ts';

/**
 * Creates the model of a `tokenizer.json`. BPE and Unigram are imported dynamically, so that web pages load only what
 * they use.
 * @throws SentvecError `invalid-model`, `unsupported-model`
 */
export async function createModel(model: TokenizerModel): Promise<Model> {
  const fields = modelFields(model);
  const { vocab } = model;
  switch (fields.type) {
    case 'BPE':
    case 'WordLevel':
    case 'WordPiece': {
      if (Array.isArray(vocab)) throw fields.invalid('has a list as "vocab" instead of an object with tokens and ids');
      const pieces = vocab as Readonly<Record<string, number>>;
      if (fields.type === 'BPE') {
        const { createBytePairEncoding } = await import('./byte-pair-encoding.ts');
        return withCache(createBytePairEncoding(fields, pieces, model['merges']));
      }
      return fields.type === 'WordLevel' ? createWordLevel(fields, pieces) : withCache(createWordPiece(fields, pieces));
    }
    case 'Unigram': {
      if (!Array.isArray(vocab)) throw fields.invalid('has no list of tokens and scores as "vocab"');
      const { createUnigram } = await import('./unigram.ts');
      return withCache(createUnigram(fields, vocab as readonly (readonly [string, number])[]));
    }
    default:
      throw fields.unknown('BPE, Unigram, WordLevel and WordPiece');
  }
}

/** @throws SentvecError `invalid-model` */
export function modelFields(model: TokenizerModel): Component {
  return new Component({ ...model, type: modelType(model) }, 'model');
}

/** The type of a model. Older files do not name it, so it is derived from the fields. */
function modelType(model: TokenizerModel): unknown {
  if (model.type !== undefined) return model.type;
  if (Array.isArray(model.vocab)) return 'Unigram';
  if ('merges' in model) return 'BPE';
  return 'max_input_chars_per_word' in model ? 'WordPiece' : 'WordLevel';
}
