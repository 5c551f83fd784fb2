/*
 * The prompts of models whose folders do not hold them: their cards say in prose what to put before a query and before
 * a document. A file of its own, imported when it is needed, so that pages do not load it.
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

/** Models by name, `*` standing for any part of it, with the prompts of their cards. The first that fits counts. */
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

/** Models whose documents are embedded as they are. */
function forPassages(query: string): RolePrompts {
  return { query, document: '' };
}

/** Models whose prompt is an instruction; this is the one that their cards give for a web search. */
function webSearch(end: string): RolePrompts {
  return forPassages(`Instruct: Given a web search query, retrieve relevant passages that answer the query${end}`);
}

/** What is known of the prompts of a model whose folder has none. */
export interface KnownPrompts {
  /** None for nearly all models. */
  readonly prompts: RolePrompts | undefined;
  /** Where they come from, or why none could be looked for, in a sentence. */
  readonly note: string | undefined;
}

/**
 * The prompts of a known model, or of a model that was made from one. It is recognised by its name on the hub, by the
 * base model that its card names, by the origin in `config.json`, or by the name under which its card lists results;
 * never by the name of its folder.
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
  const note = `The card of ${files.name} could not be read, so it is not known whether the model was trained with prompts for queries and documents; they get none.`;
  return { prompts: undefined, note: card === undefined ? note : undefined };
}

/** A card that was never downloaded is missing without a network; the model works anyway. */
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
