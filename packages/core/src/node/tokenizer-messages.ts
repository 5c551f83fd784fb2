import type { SentvecError } from '../errors.ts';
import type { TokenizerDefinition } from '../tokenizer/definition.ts';
import type { TokenizedText } from '../types.ts';

/** Which library tokenizes: `auto` is the native one when it is installed, else the one in JavaScript. */
export type TokenizerLibrary = 'auto' | 'javascript' | 'native';

/** What the thread is started with. */
export interface TokenizerThreadData {
  readonly library: TokenizerLibrary;
  /** {@link TokenizerDefinition} as JSON: one long string crosses threads much faster than its 250,000 pieces. */
  readonly definition: string;
}

/** To the thread: texts to tokenize, or the wish to stop a request. */
export type TokenizerRequest =
  | {
      readonly kind: 'encode';
      readonly id: number;
      readonly texts: readonly string[];
      readonly maxLength: number;
      readonly addSpecialTokens: boolean;
    }
  | { readonly kind: 'abort'; readonly id: number };

/** From the thread: it is ready, or cannot be; the result of a request, or its failure. */
export type TokenizerResponse =
  | { readonly kind: 'ready'; readonly name: string }
  | { readonly kind: 'result'; readonly id: number; readonly packed: PackedTexts }
  | { readonly kind: 'failure'; readonly id: number | undefined; readonly error: ReturnType<SentvecError['toJSON']> };

/** Tokenized texts in two buffers, which move between threads without a copy. */
export interface PackedTexts {
  /** The ids of all texts, one text after the other. */
  readonly ids: Int32Array<ArrayBuffer>;
  /** For each text the number of its ids, and their number before the cut. */
  readonly lengths: Int32Array<ArrayBuffer>;
}

/** @returns the texts in two buffers */
export function packTexts(texts: readonly TokenizedText[]): PackedTexts {
  const ids = new Int32Array(texts.reduce((sum, text) => sum + text.ids.length, 0));
  const lengths = new Int32Array(texts.length * 2);
  let offset = 0;
  for (const [index, text] of texts.entries()) {
    ids.set(text.ids, offset);
    offset += text.ids.length;
    lengths.set([text.ids.length, text.length], index * 2);
  }
  return { ids, lengths };
}

/** @returns the texts again; their ids are views of one buffer */
export function unpackTexts({ ids, lengths }: PackedTexts): TokenizedText[] {
  const texts: TokenizedText[] = [];
  let offset = 0;
  for (let index = 0; index < lengths.length; index += 2) {
    const count = lengths[index]!;
    const length = lengths[index + 1]!;
    texts.push({ ids: ids.subarray(offset, offset + count), length, truncated: count < length });
    offset += count;
  }
  return texts;
}

/** @returns the definition in the form in which it crosses threads */
export function definitionToJson(definition: TokenizerDefinition): string {
  return JSON.stringify(definition);
}
