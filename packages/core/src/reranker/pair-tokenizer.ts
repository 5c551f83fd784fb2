// Turns two texts into the input of a reranker, with the tokenizer's pair template or with a chat template.
import { withRows } from '../error-rows.ts';
import { SentvecError } from '../errors.ts';
import { isObject, readJsonObject } from '../model-folder/json.ts';
import type { RerankerFolder } from '../model-folder/reranker-folder.ts';
import type { TokenizerDefinition } from '../tokenizer/definition.ts';
import { joinPair } from '../tokenizer/pair-template.ts';
import { tokenContent } from '../tokenizer/special-tokens.ts';
import type { ModelFiles, TokenizedText, Tokenizer } from '../types.ts';
import type { PairTokenizer, TextPair } from './reranker-types.ts';

/**
 * Creates the tokenizer for the pairs of a reranker, as configured in its folder.
 * @param model name of the model, for messages
 * @throws SentvecError `unsupported-model`, `invalid-model`
 */
export async function pairTokenizerOf(
  { chat, encoderFiles, paddingAfterLast }: Pick<RerankerFolder, 'chat' | 'encoderFiles' | 'paddingAfterLast'>,
  tokenizer: Tokenizer,
  definition: TokenizerDefinition,
  model: string,
): Promise<PairTokenizer> {
  const tokenize =
    chat === undefined
      ? templatePairTokenizer(tokenizer, definition, model)
      : await chatPairTokenizer(tokenizer, definition, encoderFiles, chat);
  return paddingAfterLast === undefined ? tokenize : upToLast(tokenize, paddingAfterLast);
}

/** Options for the plain ids of a text: truncation and special tokens are applied later, to both texts together. */
const bare = { maxLength: Infinity, addSpecialTokens: false } as const;

/**
 * Joins pairs with the tokenizer's pair template. A prompt is put before the first text. Within one call, equal first
 * texts are tokenized only once.
 * @throws SentvecError `unsupported-model` for a tokenizer without a template for pairs
 */
export function templatePairTokenizer(
  tokenizer: Tokenizer,
  { pairTemplate, truncationSide }: TokenizerDefinition,
  model: string,
): PairTokenizer {
  if (pairTemplate === undefined)
    throw new SentvecError(
      'unsupported-model',
      `The tokenizer of ${model} has no pair template in its post-processor, so pairs of texts cannot be tokenized. Check that the model is a reranker.`,
      { file: 'tokenizer.json' },
    );
  return async (pairs, { maxLength, prompt, signal }) => {
    const options = { ...bare, wordLimit: truncationSide === 'right' ? maxLength : undefined, signal };
    const firstTexts = [...new Set(pairs.map(([first]) => first))];
    const [firsts, seconds] = await Promise.all([
      tokenizer
        .encode(
          firstTexts.map((text) => prompt + text),
          options,
        )
        .catch((error: unknown) => {
          throw withRows(error, (row) => pairs.findIndex(([first]) => first === firstTexts[row]));
        }),
      tokenizer.encode(
        pairs.map(([, second]) => second),
        options,
      ),
    ]);
    const tokenizedOf = new Map(firstTexts.map((text, index) => [text, firsts[index]!]));
    return pairs.map(([first], index) =>
      joinPair(pairTemplate, tokenizedOf.get(first)!, seconds[index]!, { maxLength, truncationSide }),
    );
  };
}

/** A message of a chat. */
interface Message {
  readonly role: 'system' | 'query' | 'document';
  readonly content: string;
}

type Render = (messages: readonly Message[]) => string;

/**
 * Renders pairs as chat messages with the roles `query` and `document`, after a `system` message with the prompt if
 * there is one. When a pair is truncated, the end of the template is kept, since it makes the model answer. Follows
 * `sentence_transformers/base/modules/transformer.py`.
 * @param variables variables of the template, in addition to the messages
 * @throws SentvecError `unsupported-model` without a template that contains both texts; `invalid-model`
 */
export async function chatPairTokenizer(
  tokenizer: Tokenizer,
  { truncationSide }: TokenizerDefinition,
  files: ModelFiles,
  variables: Readonly<Record<string, unknown>>,
): Promise<PairTokenizer> {
  const render = await readChatTemplate(files, variables);
  const encode = (texts: readonly string[], signal?: AbortSignal): Promise<TokenizedText[]> =>
    tokenizer.encode(texts, { ...bare, signal });
  const endings = new Map<string, Promise<Int32Array>>();
  const endingOf = (prompt: string): Promise<Int32Array> => {
    const known = endings.get(prompt) ?? commonEnding(encode, render, prompt);
    if (endings.size >= maxCachedEndings) endings.clear();
    endings.set(prompt, known);
    return known;
  };
  return async (pairs, { maxLength, prompt, signal }) => {
    const tokenized = await encode(
      pairs.map((pair) => render(messagesOf(pair, prompt))),
      signal,
    );
    const ending = tokenized.some(({ ids }) => ids.length > maxLength) ? await endingOf(prompt) : Int32Array.of();
    return tokenized.map(({ ids }) => truncateKeepingEnd(ending, ids, maxLength, truncationSide));
  };
}

/**
 * Wraps a pair tokenizer so that pooling ignores trailing padding tokens.
 * @param token id of the padding token
 */
export function upToLast(tokenize: PairTokenizer, token: number): PairTokenizer {
  return async (pairs, options) =>
    (await tokenize(pairs, options)).map((pair) => {
      const last = Math.max(
        0,
        pair.ids.findLastIndex((id) => id !== token),
      );
      return { ...pair, pooled: Uint8Array.from(pair.ids, (_, index) => (index <= last ? 1 : 0)) };
    });
}

/** Number of prompts whose endings are cached. Callers rarely use more of them. */
const maxCachedEndings = 64;

function messagesOf([query, document]: TextPair, prompt: string): readonly Message[] {
  return [
    ...(prompt === '' ? [] : [{ role: 'system', content: prompt } as const]),
    { role: 'query', content: query },
    { role: 'document', content: document },
  ];
}

function truncateKeepingEnd(
  ending: Int32Array,
  ids: Int32Array,
  maxLength: number,
  side: 'left' | 'right',
): TokenizedText {
  if (ids.length <= maxLength) return { ids, length: ids.length, truncated: false };
  const kept = side === 'left' ? ids.slice(ids.length - maxLength) : ids.slice(0, maxLength);
  kept.set(ending.subarray(Math.max(0, ending.length - maxLength)), Math.max(0, maxLength - ending.length));
  return { ids: kept, length: ids.length, truncated: true };
}

/** The tokens at the end of the template: those that two chats with different texts have in common. */
async function commonEnding(
  encode: (texts: readonly string[]) => Promise<TokenizedText[]>,
  render: Render,
  prompt: string,
): Promise<Int32Array> {
  const fillers = ['0', '1 2 3 4'];
  const [one, other] = await encode(fillers.map((filler) => render(messagesOf([filler, filler], prompt))));
  const [a, b] = [one!.ids, other!.ids];
  let count = 0;
  while (count < Math.min(a.length, b.length) && a.at(-1 - count) === b.at(-1 - count)) count += 1;
  return count < Math.min(a.length, b.length) ? a.slice(a.length - count) : Int32Array.of();
}

async function readChatTemplate(files: ModelFiles, variables: Readonly<Record<string, unknown>>): Promise<Render> {
  const config = (await readJsonObject(files, 'tokenizer_config.json')) ?? {};
  const source = await readSource(files, config);
  if (source === undefined) throw chatTemplateError(files, 'it has no chat template');
  const { Template } = await import('@huggingface/jinja');
  const tokens = Object.entries(config).flatMap(([name, value]) =>
    name.endsWith('_token') && tokenContent(value) !== undefined ? [[name, tokenContent(value)]] : [],
  );
  try {
    const template = new Template(source);
    // The defaults of transformers for a template without tools and documents.
    const defaults = { tools: null, documents: null, add_generation_prompt: false };
    const given = { ...defaults, ...Object.fromEntries(tokens), ...variables };
    const render: Render = (messages) => template.render({ ...given, messages });
    checkTemplateUsesBothTexts(files, render);
    return render;
  } catch (cause) {
    if (SentvecError.is(cause)) throw cause;
    const message = `The chat template of ${files.name} cannot be used: ${(cause as Error).message}`;
    throw new SentvecError('invalid-model', message, { file: 'chat_template.jinja' }, { cause });
  }
}

async function readSource(files: ModelFiles, config: Readonly<Record<string, unknown>>): Promise<string | undefined> {
  if ((await files.list()).includes('chat_template.jinja'))
    return new TextDecoder().decode(await files.read('chat_template.jinja'));
  const template = config['chat_template'];
  if (!Array.isArray(template)) return typeof template === 'string' ? template : undefined;
  // With several named templates, transformers uses the one called "default", unless there are tools.
  const named = template.filter(isObject);
  const source = named.find(({ name }) => name === 'default')?.['template'];
  if (typeof source === 'string') return source;
  const names = named.map(({ name }) => JSON.stringify(name)).join(', ');
  throw chatTemplateError(files, `of its chat templates, ${names.slice(0, 200)}, none is called "default"`);
}

/** Refuses a template that ignores one of the texts: it would not score the pair. */
function checkTemplateUsesBothTexts(files: ModelFiles, render: Render): void {
  const [base, otherQuery, otherDocument] = (
    [
      ['alpha', 'bravo'],
      ['charlie', 'bravo'],
      ['alpha', 'foxtrot'],
    ] as const
  ).map((pair) => render(messagesOf(pair, '')));
  if (base === otherQuery) throw chatTemplateError(files, 'its chat template ignores messages of the role "query"');
  if (base === otherDocument)
    throw chatTemplateError(files, 'its chat template ignores messages of the role "document"');
}

function chatTemplateError({ name }: ModelFiles, why: string): SentvecError {
  return new SentvecError(
    'unsupported-model',
    `${name} is a language model that scores pairs as chat messages, but ${why}. Add a chat_template.jinja that renders both roles to the folder.`,
    { file: 'chat_template.jinja' },
  );
}
