// The tokenizer files that `sentvec export` writes.
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
 * `tokenizer.json` and `tokenizer_config.json` in such a way that a library which reads nothing else tokenizes as the
 * model does: with what other files say, its length, its padding token, and in lower case where sentence-transformers
 * would do that.
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

/** transformers.js recognizes a token that is written as an object only by this mark. */
function marked(token: unknown): unknown {
  return typeof token === 'object' && token !== null ? { ...token, __type: 'AddedToken' } : token;
}

/** The piece whose id fills up a batch, where no file names one. */
function paddingToken({ json, paddingId }: TokenizerDefinition): string | undefined {
  const added = json.added_tokens?.find(({ id }) => id === paddingId);
  if (added !== undefined) return added.content;
  const { vocab } = json.model;
  if (isList(vocab)) return vocab[paddingId]?.[0];
  return Object.entries(vocab).find(([, id]) => id === paddingId)?.[0];
}

/** `Array.isArray` that recognizes readonly arrays, too. */
function isList<Entry>(value: readonly Entry[] | object): value is readonly Entry[] {
  return Array.isArray(value);
}

/** A JSON file of the folder. */
export function jsonFile(path: string, value: object): FolderFile {
  return [path, `${JSON.stringify(value, null, 2)}\n`];
}
