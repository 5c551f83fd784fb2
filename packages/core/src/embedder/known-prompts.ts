/*
 * The prompts of models whose folders do not contain them: their model cards say in prose what to put before a query
 * and before a document. This file is imported dynamically, so that web pages load it only when it is needed.
 */
import { SentvecError } from '../errors.ts';
import { readJsonObject } from '../model-folder/json.ts';
import { readModelCard, type ModelCard } from '../model-folder/model-card.ts';
import type { ModelFiles } from '../types.ts';

/** What a model was trained to see before queries and before documents. */
interface RolePrompts {
  readonly query: string;
  readonly document: string;
}

/**
 * Patterns of model names, in which `*` matches any text, with the prompts from their cards. The first match is used.
 */
const known: readonly (readonly [models: string, prompts: RolePrompts])[] = [
  ['intfloat/multilingual-e5-large-instruct', webSearch('\nQuery: ')],
  ['intfloat/e5-{small,base,large}*', { query: 'query: ', document: 'passage: ' }],
  ['intfloat/multilingual-e5-{small,base,large}', { query: 'query: ', document: 'passage: ' }],
  ['BAAI/bge-{small,base,large}-en*', forPassages('Represent this sentence for searching relevant passages: ')],
  ['BAAI/bge-{small,base,large}-zh*', forPassages('为这个句子生成表示以用于检索相关文章：')],
  [
    'mixedbread-ai/mxbai-embed-{large,2d-large}-v1',
    forPassages('Represent this sentence for searching relevant passages: '),
  ],
  ['mixedbread-ai/deepset-mxbai-embed-de-large-v1', { query: 'query: ', document: 'passage: ' }],
  ['WhereIsAI/UAE-Large-V1', forPassages('Represent this sentence for searching relevant passages: ')],
  ['Snowflake/snowflake-arctic-embed-*-v2.0', forPassages('query: ')],
  ['Snowflake/snowflake-arctic-embed-*', forPassages('Represent this sentence for searching relevant passages: ')],
  ['nomic-ai/nomic-embed-text-v*', { query: 'search_query: ', document: 'search_document: ' }],
  ['nomic-ai/modernbert-embed-base', { query: 'search_query: ', document: 'search_document: ' }],
  ['nomic-ai/CodeRankEmbed', forPassages('Represent this query for searching relevant code: ')],
  ['Alibaba-NLP/gte-Qwen2-*-instruct', webSearch('\nQuery: ')],
  ['Qwen/Qwen3-Embedding-*', webSearch('\nQuery:')],
  ['google/embeddinggemma-300m*', { query: 'task: search result | query: ', document: 'title: none | text: ' }],
];

/** Prompts of a model whose documents are embedded without a prompt. */
function forPassages(query: string): RolePrompts {
  return { query, document: '' };
}

/** Prompts of a model whose query prompt is an instruction: the one that the cards give for web search. */
function webSearch(end: string): RolePrompts {
  return forPassages(`Instruct: Given a web search query, retrieve relevant passages that answer the query${end}`);
}

/** Result of {@link findKnownPrompts}. */
export interface KnownPrompts {
  /** `undefined` when the model is not in the list. */
  readonly prompts: RolePrompts | undefined;
  /** A sentence that says where the prompts come from, or why the model could not be identified. */
  readonly note: string | undefined;
}

/**
 * The prompts of a known model, or of a model that is derived from one. The model is recognised by its name on the hub,
 * by the base model on its card, by `_name_or_path` in `config.json`, or by the name under which its card reports
 * results; never by the name of its folder.
 */
export async function findKnownPrompts(files: ModelFiles): Promise<KnownPrompts> {
  // A model with a revision comes from a hub, where its name is its identity.
  if (files.revision !== undefined) {
    const found = promptsOf(files.name);
    if (found) return noted(files.name, found, 'its name');
  }
  const card = await readModelCard(files).catch(unreadable);
  const origin = (await readJsonObject(files, 'config.json'))?.['_name_or_path'];
  const claims: readonly (readonly [name: unknown, source: string])[] = [
    [card?.baseModel, 'the base model on its card'],
    [origin, 'the origin in its config.json'],
    [card?.resultsOf, 'the name on its card'],
  ];
  for (const [name, source] of claims) {
    if (typeof name !== 'string') continue;
    const found = promptsOf(name);
    if (found) return noted(name, found, source);
  }
  const note = `The card of ${files.name} could not be read, so it is not known whether the model was trained with prompts for queries and documents; no prompt is used.`;
  return { prompts: undefined, note: card === undefined ? note : undefined };
}

/**
 * Ignores a card that cannot be read: without a network it may never have been downloaded, and the model works without
 * it.
 */
function unreadable(error: unknown): ModelCard | undefined {
  if (SentvecError.is(error) && error.code !== 'aborted') return undefined;
  throw error;
}

/** @param name `organization/name`, or the name alone, as cards have it */
function promptsOf(name: string): RolePrompts | undefined {
  return known.find(([models]) => {
    const wanted = name.includes('/') ? models : models.slice(models.indexOf('/') + 1);
    return pattern(wanted).test(name);
  })?.[1];
}

/** `*` is any text, `{a,b}` one of several. */
function pattern(models: string): RegExp {
  const source = models
    .replaceAll(/[.]/gu, String.raw`\.`)
    .replaceAll('*', '.*')
    .replaceAll(/\{([^}]*)\}/gu, (_, choices: string) => `(?:${choices.replaceAll(',', '|')})`);
  return new RegExp(`^${source}$`, 'u');
}

function noted(name: string, prompts: RolePrompts, source: string): KnownPrompts {
  const { query, document } = prompts;
  const documents = document === '' ? 'documents none' : `documents ${JSON.stringify(document)}`;
  const note = `The model has no prompts for queries and documents in its files; queries get ${JSON.stringify(query)}, ${documents}, as ${name} was trained (${source}). Set "promptText" for others, or "prompt" to null for none.`;
  return { prompts, note };
}
