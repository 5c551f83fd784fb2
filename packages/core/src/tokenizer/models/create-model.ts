import { Component } from '../component.ts';
import { remembering, type Model } from './model.ts';
import type { TokenizerModel } from '../tokenizer-json.ts';
import { createWordLevel, createWordPiece } from './word-piece.ts';

/**
 * Makes the model of a `tokenizer.json`. The larger kinds are loaded when a tokenizer has them, so a page loads only
 * what it uses.
 * @throws SentvecError `invalid-model`, `unsupported-model`
 */
export async function createModel(model: TokenizerModel): Promise<Model> {
  const fields = modelFields(model);
  const { vocab } = model;
  switch (fields.type) {
    case 'BPE':
    case 'WordLevel':
    case 'WordPiece': {
      if (Array.isArray(vocab)) throw fields.invalid('has a list as "vocab", not pieces with their ids');
      const pieces = vocab as Readonly<Record<string, number>>;
      if (fields.type === 'BPE') {
        const { createBytePairEncoding } = await import('./byte-pair-encoding.ts');
        return remembering(createBytePairEncoding(fields, pieces, model['merges']));
      }
      return fields.type === 'WordLevel'
        ? createWordLevel(fields, pieces)
        : remembering(createWordPiece(fields, pieces));
    }
    case 'Unigram': {
      if (!Array.isArray(vocab)) throw fields.invalid('has no list of pieces and scores as "vocab"');
      const { createUnigram } = await import('./unigram.ts');
      return remembering(createUnigram(fields, vocab as readonly (readonly [string, number])[]));
    }
    default:
      throw fields.unknown('BPE, Unigram, WordLevel and WordPiece');
  }
}

/** @throws SentvecError `invalid-model` */
export function modelFields(model: TokenizerModel): Component {
  return new Component({ ...model, type: modelType(model) }, 'model');
}

/** Old files do not name the type of a model. */
function modelType(model: TokenizerModel): unknown {
  if (model.type !== undefined) return model.type;
  if (Array.isArray(model.vocab)) return 'Unigram';
  if ('merges' in model) return 'BPE';
  return 'max_input_chars_per_word' in model ? 'WordPiece' : 'WordLevel';
}
