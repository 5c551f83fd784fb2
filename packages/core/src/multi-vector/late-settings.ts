// Reads the settings of late-interaction models (lengths, query expansion, skipped tokens) in the formats of
// sentence-transformers, PyLate and Stanford's ColBERT.
import { SentvecError } from '../errors.ts';
import { requireConfigFile, type ConfigFile } from '../model-folder/config-file.ts';
import { filePath } from '../model-folder/modules.ts';
import type { ModelFiles } from '../types.ts';
import type { TextRole } from '../embedder/embedder-types.ts';
import type { MaskSettings, QueryExpansion, TokenPoolingOptions } from './multi-vector-types.ts';

export type { MaskSettings } from './multi-vector-types.ts';

/** How a late-interaction model reads queries and documents. */
export interface LateSettings {
  /** The most tokens of a text, markers and special tokens included; `undefined` if the folder does not say. */
  readonly lengths: Readonly<Record<TextRole, number | undefined>>;
  readonly expansion: QueryExpansion | undefined;
  readonly mask: MaskSettings;
  /** Prefixes that older folders put before a text; each is a single token if the vocabulary contains it. */
  readonly prefixes: Readonly<Partial<Record<TextRole, string>>>;
}

/** `string.punctuation` of Python. */
const punctuation: readonly string[] = '!"#$%&\'()*+,-./:;<=>?@[\\]^_`{|}~'.split('');

/** The length of ColBERT queries in tokens, when no file states it. */
const defaultQueryLength = 32;

/** Keys that occur only in a `config_sentence_transformers.json` of PyLate. */
const legacyKeys = [
  'query_length',
  'document_length',
  'query_expansion',
  'do_query_expansion',
  'attend_to_expansion_tokens',
  'attend_to_mask_tokens',
  'query_prefix',
  'document_prefix',
  'skiplist_words',
];

/**
 * Reads the settings that PyLate stores in `config_sentence_transformers.json`; returns `undefined` if the file is not
 * PyLate's. Follows `_parse_model_config` in `sentence_transformers/multi_vector_encoder/model.py`.
 */
export function readLegacySettings(config: ConfigFile): LateSettings | undefined {
  const isPyLate = config.string('model_type') === 'ColBERT';
  if (!isPyLate && !legacyKeys.some((key) => Object.hasOwn(config.values, key))) return undefined;
  const hasExpansion = Object.hasOwn(config.values, 'query_expansion');
  const isExpansionOff = config.boolean('do_query_expansion') === false;
  const attend = config.boolean('attend_to_expansion_tokens') ?? config.boolean('attend_to_mask_tokens') ?? false;
  const length = config.size('query_length');
  const fixed = { strategy: 'fixed', attend, token: undefined, length: length ?? defaultQueryLength } as const;
  const [query, document] = [config.string('query_prefix'), config.string('document_prefix')];
  return {
    lengths: { query: hasExpansion || isExpansionOff ? length : undefined, document: config.size('document_length') },
    expansion: hasExpansion ? readExpansion(config) : isExpansionOff ? undefined : fixed,
    mask: { words: readWords(config, 'skiplist_words') ?? punctuation, roles: ['document'], onlyIds: undefined },
    prefixes: { ...(query !== undefined && { query }), ...(document !== undefined && { document }) },
  };
}

/**
 * Settings of a Stanford ColBERT folder. Follows `_maybe_load_stanford_metadata` in
 * `sentence_transformers/multi_vector_encoder/model.py`.
 */
export function stanfordSettings(metadata: ConfigFile | undefined, maxLength: number | undefined): LateSettings {
  const attend = metadata?.boolean('attend_to_mask_tokens') ?? false;
  const length = metadata?.size('query_maxlen') ?? defaultQueryLength;
  return {
    lengths: { query: undefined, document: metadata?.size('doc_maxlen') ?? maxLength },
    expansion: { strategy: 'fixed', attend, token: undefined, length },
    mask: {
      words: (metadata?.boolean('mask_punctuation') ?? true) ? punctuation : [],
      roles: ['document'],
      onlyIds: undefined,
    },
    prefixes: {
      query: `${metadata?.string('query_token_id') ?? '[unused0]'} `,
      document: `${metadata?.string('doc_token_id') ?? '[unused1]'} `,
    },
  };
}

/** `query_expansion` of a configuration. @throws SentvecError `invalid-model`, `unsupported-model` */
export function readExpansion(config: ConfigFile): QueryExpansion | undefined {
  const expansion = config.object('query_expansion');
  if (expansion === undefined) return undefined;
  const strategy = expansion.required('strategy', expansion.string('strategy'));
  if (strategy !== 'fixed' && strategy !== 'min') {
    const message = `${config.file} requires the query expansion "${strategy}"; sentvec supports "fixed" and "min".`;
    throw new SentvecError('unsupported-model', message, { file: config.file });
  }
  return {
    strategy,
    attend: expansion.boolean('attend') ?? false,
    token: expansion.string('token'),
    length: expansion.required('length', expansion.size('length')),
  };
}

/** Reads the config of a MultiVectorMask module. */
export async function readMask(files: ModelFiles, path: string): Promise<MaskSettings> {
  const config = await requireConfigFile(files, filePath(path, 'config.json'));
  return {
    words: readWords(config, 'skiplist_words') ?? [],
    roles: readRoles(config, 'skiplist_tasks'),
    onlyIds: readIds(config, 'keep_only_token_ids'),
  };
}

/** Reads the config of a HierarchicalTokenPooling module. */
export async function readPoolingModule(
  files: ModelFiles,
  path: string,
): Promise<Required<TokenPoolingOptions> & { readonly roles: readonly TextRole[] }> {
  const config = await requireConfigFile(files, filePath(path, 'config.json'));
  const protectedTokens = config.number('num_protected_tokens') ?? 1;
  if (!Number.isSafeInteger(protectedTokens) || protectedTokens < 0) throw invalid(config, 'num_protected_tokens');
  return { factor: config.size('pool_factor') ?? 1, protectedTokens, roles: readRoles(config, 'tasks') };
}

function readWords(config: ConfigFile, key: string): readonly string[] | undefined {
  const words = config.values[key];
  if (words === undefined || words === null) return undefined;
  if (Array.isArray(words) && words.every((word) => typeof word === 'string')) return words;
  throw invalid(config, key);
}

function readIds(config: ConfigFile, key: string): readonly number[] | undefined {
  const ids = config.values[key];
  if (ids === undefined || ids === null) return undefined;
  if (Array.isArray(ids) && ids.every((id) => Number.isSafeInteger(id) && id >= 0))
    return ids.length === 0 ? undefined : (ids as number[]);
  throw invalid(config, key);
}

function readRoles(config: ConfigFile, key: string): readonly TextRole[] {
  const tasks = [config.values[key] ?? 'document'].flat();
  const roles = tasks.filter((task) => task === 'query' || task === 'document');
  if (roles.length === tasks.length) return roles;
  throw invalid(config, key);
}

function invalid(config: ConfigFile, key: string): SentvecError {
  const value = JSON.stringify(config.values[key]).slice(0, 200);
  return new SentvecError('invalid-model', `"${key}" in ${config.file} cannot be ${value}.`, { file: config.file });
}
