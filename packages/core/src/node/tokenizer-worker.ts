// The worker thread of `nodeTokenizer`, which tokenizes without blocking the caller's event loop.
import { SentvecError } from '@sentvec/platform';
import { serveThread, transferred } from '@sentvec/platform/node';
import type { TokenizerDefinition } from '../tokenizer/definition.ts';
import { javaScriptTokenizer } from '../tokenizer/javascript-tokenizer.ts';
import type { Tokenizer } from '../types.ts';
import { nativeTokenizer } from './native-tokenizer.ts';
import { packTexts, type TokenizerLibrary, type TokenizerProtocol } from './tokenizer-messages.ts';

async function loadTokenizer(library: TokenizerLibrary, definition: TokenizerDefinition): Promise<Tokenizer> {
  if (library === 'javascript') return javaScriptTokenizer(definition);
  try {
    return await nativeTokenizer(definition);
  } catch (error) {
    const isForJavaScript = SentvecError.is(error, 'missing-dependency') || SentvecError.is(error, 'unsupported-model');
    if (library === 'native' || !isForJavaScript) throw error;
    return javaScriptTokenizer(definition);
  }
}

async function guarded<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (SentvecError.is(error)) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new SentvecError('backend-failed', `The tokenizer failed: ${reason}`, {}, { cause: error });
  }
}

serveThread<TokenizerProtocol>(async ({ library, definition }) => {
  const tokenizer = await guarded(() => loadTokenizer(library, JSON.parse(definition) as TokenizerDefinition));
  return {
    ready: tokenizer.name,
    handlers: {
      encode: async ({ texts, ...options }, { signal }) => {
        const packed = packTexts(await guarded(() => tokenizer.encode(texts, { ...options, signal })));
        return transferred(packed, [packed.ids.buffer, packed.lengths.buffer]);
      },
    },
  };
});
