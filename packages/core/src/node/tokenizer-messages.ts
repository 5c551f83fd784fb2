/* The messages between a program and its tokenizer thread. */
import type { TokenizedText } from '../types.ts';

/**
 * The tokenizer library: `auto` is the native one if it is installed and can run the model, otherwise the JavaScript
 * one.
 */
export type TokenizerLibrary = 'auto' | 'javascript' | 'native';

/** See `ThreadProtocol` of `@sentvec/platform/node`. */
export interface TokenizerProtocol {
  readonly data: {
    readonly library: TokenizerLibrary;
    /**
     * `TokenizerDefinition` as JSON: one long string is sent to a thread much faster than an object with 250,000
     * tokens.
     */
    readonly definition: string;
  };
  /** The name of the tokenizer. */
  readonly ready: string;
  readonly calls: {
    encode(request: {
      readonly texts: readonly string[];
      readonly maxLength: number;
      readonly addSpecialTokens: boolean;
      readonly wordLimit: number | undefined;
    }): PackedTexts;
  };
  readonly programCalls: object;
}

/** Tokenized texts in two buffers, which are transferred between threads without a copy. */
export interface PackedTexts {
  /** The ids of all texts, one text after the other. */
  readonly ids: Int32Array<ArrayBuffer>;
  /** Three numbers for each text: its ids, its ids before truncation, and `lengthAtLimit` or 0. */
  readonly lengths: Int32Array<ArrayBuffer>;
}

/** @returns the texts in two buffers */
export function packTexts(texts: readonly TokenizedText[]): PackedTexts {
  const ids = new Int32Array(texts.reduce((sum, text) => sum + text.ids.length, 0));
  const lengths = new Int32Array(texts.length * 3);
  let offset = 0;
  for (const [index, text] of texts.entries()) {
    ids.set(text.ids, offset);
    offset += text.ids.length;
    lengths.set([text.ids.length, text.length, text.lengthAtLimit ?? 0], index * 3);
  }
  return { ids, lengths };
}

/** @returns the texts again; their ids are views of one buffer */
export function unpackTexts({ ids, lengths }: PackedTexts): TokenizedText[] {
  const texts: TokenizedText[] = [];
  let offset = 0;
  for (let index = 0; index < lengths.length; index += 3) {
    const count = lengths[index]!;
    const length = lengths[index + 1]!;
    const atLimit = lengths[index + 2]!;
    const text = { ids: ids.subarray(offset, offset + count), length, truncated: count < length };
    texts.push(atLimit === 0 ? text : { ...text, lengthAtLimit: atLimit });
    offset += count;
  }
  return texts;
}
