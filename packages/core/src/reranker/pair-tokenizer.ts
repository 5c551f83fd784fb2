// From two texts to the input of a reranker: by the tokenizer's template for pairs, or by the template of a chat.
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
 * How a reranker puts two texts together, as its folder says.
 * @param model its name, for messages
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

/** Asks for the ids of texts as they are: cuts and special tokens come later, for both texts together. */
const bare = { maxLength: Infinity, addSpecialTokens: false } as const;

/**
 * Pairs by the template of the tokenizer. A prompt is put before the first text. Of pairs that follow one another with
 * the same first text, it is tokenized once.
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
      `The tokenizer of ${model} does not say how two texts are put together: its post-processor has no template for pairs.`,
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
 * Pairs as the messages `query` and `document` of a chat, after a message `system` with the prompt if there is one. What
 * the template puts at the end stays there when a pair is cut: by it the model answers. As
 * `sentence_transformers/base/modules/transformer.py`.
 * @param variables what the template gets besides the messages
 * @throws SentvecError `unsupported-model` without a template that has a place for both texts; `invalid-model`
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
    if (endings.size >= mostEndings) endings.clear();
    endings.set(prompt, known);
    return known;
  };
  return async (pairs, { maxLength, prompt, signal }) => {
    const tokenized = await encode(
      pairs.map((pair) => render(messagesOf(pair, prompt))),
      signal,
    );
    const ending = tokenized.some(({ ids }) => ids.length > maxLength) ? await endingOf(prompt) : Int32Array.of();
    return tokenized.map(({ ids }) => cutBefore(ending, ids, maxLength, truncationSide));
  };
}

/** The same pairs, pooled up to the last token that is not this one. */
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

/** Endings that are remembered. Callers rarely use more prompts in turn. */
const mostEndings = 64;

function messagesOf([query, document]: TextPair, prompt: string): readonly Message[] {
  return [
    ...(prompt === '' ? [] : [{ role: 'system', content: prompt } as const]),
    { role: 'query', content: query },
    { role: 'document', content: document },
  ];
}

function cutBefore(ending: Int32Array, ids: Int32Array, maxLength: number, side: 'left' | 'right'): TokenizedText {
  if (ids.length <= maxLength) return { ids, length: ids.length, truncated: false };
  const kept = side === 'left' ? ids.slice(ids.length - maxLength) : ids.slice(0, maxLength);
  kept.set(ending.subarray(Math.max(0, ending.length - maxLength)), Math.max(0, maxLength - ending.length));
  return { ids: kept, length: ids.length, truncated: true };
}

/** The tokens that end two chats that differ in nothing but their texts. */
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
  if (source === undefined) throw noPlace(files, 'it has no chat template');
  const { Template } = await import('@huggingface/jinja');
  const tokens = Object.entries(config).flatMap(([name, value]) =>
    name.endsWith('_token') && tokenContent(value) !== undefined ? [[name, tokenContent(value)]] : [],
  );
  try {
    const template = new Template(source);
    // As transformers calls a template that gets no tools and no documents.
    const defaults = { tools: null, documents: null, add_generation_prompt: false };
    const given = { ...defaults, ...Object.fromEntries(tokens), ...variables };
    const render: Render = (messages) => template.render({ ...given, messages });
    checkPlaces(files, render);
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
  // Several templates by name: transformers takes the one called "default", unless there are tools.
  const named = template.filter(isObject);
  const source = named.find(({ name }) => name === 'default')?.['template'];
  if (typeof source === 'string') return source;
  const names = named.map(({ name }) => JSON.stringify(name)).join(', ');
  throw noPlace(files, `of its chat templates, ${names.slice(0, 200)}, none is called "default"`);
}

/** A template that passes over a text would score something else than the pair. */
function checkPlaces(files: ModelFiles, render: Render): void {
  const [base, otherQuery, otherDocument] = (
    [
      ['alpha', 'bravo'],
      ['charlie', 'bravo'],
      ['alpha', 'foxtrot'],
    ] as const
  ).map((pair) => render(messagesOf(pair, '')));
  if (base === otherQuery) throw noPlace(files, 'its chat template has no place for a message of the role "query"');
  if (base === otherDocument)
    throw noPlace(files, 'its chat template has no place for a message of the role "document"');
}

function noPlace({ name }: ModelFiles, why: string): SentvecError {
  return new SentvecError(
    'unsupported-model',
    `${name} is a language model that scores pairs as a chat, and ${why}. Put a chat_template.jinja beside the model that renders both roles.`,
    { file: 'chat_template.jinja' },
  );
}
