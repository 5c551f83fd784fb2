import { shouldYield, yieldToEventLoop } from '@sentvec/platform';
import { SentvecError, throwIfAborted } from '../errors.ts';
import type { TokenizerDefinition } from '../tokenizer/definition.ts';
import { checkTokenizeOptions, finishIds, prepareText } from '../tokenizer/finish.ts';
import type { TokenizerLoader } from '../tokenizer/javascript-tokenizer.ts';
import type { TokenizedText, TokenizeOptions } from '../types.ts';

type Binding = typeof import('tokenizers');
type NativeTokenizer = InstanceType<Binding['Tokenizer']>;

/**
 * Characters of the texts that are given to the binding at once: enough to pay for the call, little enough to read back
 * in one slice.
 */
const groupCharacters = 2 ** 15;

/**
 * The tokenizer in Rust, of the package `tokenizers`, which must be installed beside this one. It works on threads of
 * its own, but its results are read on the calling one.
 * @throws SentvecError `missing-dependency`, `invalid-model`
 */
export const nativeTokenizer: TokenizerLoader = async (definition) => {
  const binding = await importBinding();
  const library = createNativeTokenizer(binding, definition);
  let disposed = false;
  return {
    name: 'huggingface-rust',
    vocabularySize: definition.vocabularySize,
    paddingId: definition.paddingId,
    specialTokens: definition.specialTokens,
    encode: async (texts, options) => {
      if (disposed) throw new SentvecError('disposed', 'This tokenizer was disposed and can no longer be used.');
      return encodeInGroups(library, definition, texts, options);
    },
    dispose: async () => {
      disposed = true;
    },
  };
};

async function importBinding(): Promise<Binding> {
  try {
    const module = (await import('tokenizers')) as Binding & { readonly default?: Binding };
    return module.default ?? module;
  } catch (error) {
    throw new SentvecError(
      'missing-dependency',
      `The native tokenizer cannot be loaded: ${(error as Error).message}. Install it with "npm install tokenizers", or leave the choice to sentvec, which then uses the one in JavaScript.`,
      {},
      { cause: error },
    );
  }
}

function createNativeTokenizer(binding: Binding, definition: TokenizerDefinition): NativeTokenizer {
  try {
    return binding.Tokenizer.fromString(JSON.stringify(definition.json));
  } catch (error) {
    throw new SentvecError(
      'invalid-model',
      `The tokenizer of this model cannot be used: ${(error as Error).message}.`,
      {},
      { cause: error },
    );
  }
}

async function encodeInGroups(
  library: NativeTokenizer,
  definition: TokenizerDefinition,
  texts: readonly string[],
  options: TokenizeOptions,
): Promise<TokenizedText[]> {
  checkTokenizeOptions(definition, options);
  const results: TokenizedText[] = [];
  while (results.length < texts.length) {
    throwIfAborted(options.signal);
    const group = nextGroup(texts, results.length, definition);
    for (const encoding of await library.encodeBatch(group, { addSpecialTokens: false })) {
      results.push(finishIds(encoding.getIds(), definition, options));
      if (shouldYield()) await yieldToEventLoop();
    }
  }
  return results;
}

function nextGroup(texts: readonly string[], start: number, definition: TokenizerDefinition): string[] {
  const group: string[] = [];
  for (let index = start, characters = 0; index < texts.length; index += 1) {
    characters += texts[index]!.length;
    if (group.length > 0 && characters > groupCharacters) break;
    group.push(prepareText(texts[index]!, definition));
  }
  return group;
}
