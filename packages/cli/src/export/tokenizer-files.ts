// Makes the tokenizer files of `sentvec export`.
import {
  type ModelFiles,
  type ModelFolder,
  readJsonObject,
  readTokenizerDefinition,
  type TokenizerDefinition,
} from '@sentvec/core';
import { canonicalJson } from '@sentvec/platform';
import type { FolderFile } from '@sentvec/platform/node';

type Json = Readonly<Record<string, unknown>>;

/**
 * Makes `tokenizer.json` and `tokenizer_config.json` so that libraries that read only these two files tokenize like the
 * model. They get the settings that are in other files: maximum length, padding token, and the lower-casing of
 * sentence-transformers.
 */
export async function tokenizerFiles(folder: ModelFolder, maxLength: number): Promise<FolderFile[]> {
  const { encoderFiles: files, lowerCase } = folder;
  const definition = await readTokenizerDefinition(files, { lowercase: lowerCase });
  const config = (await readJsonObject(files, 'tokenizer_config.json')) ?? {};
  const special = (await readJsonObject(files, 'special_tokens_map.json')) ?? {};
  const padding = config['pad_token'] ?? special['pad_token'] ?? paddingToken(definition);
  return [
    ['tokenizer.json', await tokenizerJson(files, definition)],
    jsonFile('tokenizer_config.json', {
      tokenizer_class: 'PreTrainedTokenizerFast',
      ...Object.fromEntries(
        Object.entries(config).map(([key, value]) => [key, key.endsWith('_token') ? marked(value) : value]),
      ),
      ...(padding === undefined ? {} : { pad_token: marked(padding) }),
      ...(Number.isFinite(maxLength) ? { model_max_length: maxLength } : {}),
    }),
  ];
}

async function tokenizerJson(files: ModelFiles, definition: TokenizerDefinition): Promise<FolderFile[1]> {
  const stored = await readJsonObject(files, 'tokenizer.json');
  const { truncation, padding, ...parts } = definition.json;
  const isWhole = stored !== undefined && canonicalJson({ ...stored, ...parts }) === canonicalJson(stored);
  if (isWhole) return () => files.read('tokenizer.json');
  const json: Json = { version: '1.0', truncation, padding, decoder: null, ...stored, ...parts };
  return jsonFile('tokenizer.json', json)[1];
}

/** Adds the key `__type`, without which transformers.js does not recognize a token that is an object. */
function marked(token: unknown): unknown {
  return typeof token === 'object' && token !== null ? { ...token, __type: 'AddedToken' } : token;
}

/** The padding token, for models whose files do not name one: the piece with the padding id. */
function paddingToken({ json, paddingId }: TokenizerDefinition): string | undefined {
  const added = json.added_tokens?.find(({ id }) => id === paddingId);
  if (added !== undefined) return added.content;
  const { vocab } = json.model;
  if (isList(vocab)) return vocab[paddingId]?.[0];
  return Object.entries(vocab).find(([, id]) => id === paddingId)?.[0];
}

/** `Array.isArray` for readonly arrays. */
function isList<Entry>(value: readonly Entry[] | object): value is readonly Entry[] {
  return Array.isArray(value);
}

/** Makes a JSON file of the folder. */
export function jsonFile(path: string, value: object): FolderFile {
  return [path, `${JSON.stringify(value, null, 2)}\n`];
}
