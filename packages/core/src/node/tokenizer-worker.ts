import { parentPort, workerData, type MessagePort } from 'node:worker_threads';
import { SentvecError } from '../errors.ts';
import type { TokenizerDefinition } from '../tokenizer/definition.ts';
import { javaScriptTokenizer } from '../tokenizer/javascript-tokenizer.ts';
import type { Tokenizer } from '../types.ts';
import { nativeTokenizer } from './native-tokenizer.ts';
import {
  packTexts,
  type TokenizerLibrary,
  type TokenizerRequest,
  type TokenizerResponse,
  type TokenizerThreadData,
} from './tokenizer-messages.ts';

/** The thread of a {@link nodeTokenizer}: answers requests in any order. */
const port = parentPort as MessagePort;
const running = new Map<number, AbortController>();

function answer(response: TokenizerResponse, transfer: ArrayBuffer[] = []): void {
  port.postMessage(response, transfer);
}

function plainError(error: unknown): ReturnType<SentvecError['toJSON']> {
  if (SentvecError.is(error)) return error.toJSON();
  return new SentvecError(
    'backend-failed',
    `The tokenizer failed: ${error instanceof Error ? error.message : String(error)}`,
  ).toJSON();
}

async function loadTokenizer(library: TokenizerLibrary, definition: TokenizerDefinition): Promise<Tokenizer> {
  if (library === 'javascript') return javaScriptTokenizer(definition);
  try {
    return await nativeTokenizer(definition);
  } catch (error) {
    if (library === 'native' || !SentvecError.is(error, 'missing-dependency')) throw error;
    return javaScriptTokenizer(definition);
  }
}

async function encode(tokenizer: Tokenizer, request: TokenizerRequest & { readonly kind: 'encode' }): Promise<void> {
  const controller = new AbortController();
  running.set(request.id, controller);
  try {
    const { maxLength, addSpecialTokens } = request;
    const packed = packTexts(
      await tokenizer.encode(request.texts, { maxLength, addSpecialTokens, signal: controller.signal }),
    );
    answer({ kind: 'result', id: request.id, packed }, [packed.ids.buffer, packed.lengths.buffer]);
  } catch (error) {
    answer({ kind: 'failure', id: request.id, error: plainError(error) });
  } finally {
    running.delete(request.id);
  }
}

const { library, definition } = workerData as TokenizerThreadData;
try {
  const tokenizer = await loadTokenizer(library, JSON.parse(definition) as TokenizerDefinition);
  port.on('message', (request: TokenizerRequest) => {
    if (request.kind === 'abort') running.get(request.id)?.abort();
    else void encode(tokenizer, request);
  });
  answer({ kind: 'ready', name: tokenizer.name });
} catch (error) {
  answer({ kind: 'failure', id: undefined, error: plainError(error) });
}
