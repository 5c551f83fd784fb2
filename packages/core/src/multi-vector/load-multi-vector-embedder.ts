// Loads the embedder of a late-interaction model from its folder.
import { checkCount, checkOptionNames, type OptionNames } from '@sentvec/platform';
import { loadModelParts } from '../embedder/assemble-parts.ts';
import { loadOptionNames, type LoadEmbedderOptions } from '../embedder/load-embedder.ts';
import { SentvecError } from '../errors.ts';
import { tokenId } from '../tokenizer/vocabulary.ts';
import type { TokenizerDefinition } from '../tokenizer/definition.ts';
import type { Encoder } from '../backend.ts';
import type { ModelFiles } from '../types.ts';
import { createMultiVectorEmbedder } from './multi-vector-embedder.ts';
import type { TextRole } from '../embedder/embedder-types.ts';
import type {
  LateReading,
  MultiVectorEmbedder,
  MultiVectorFolder,
  MultiVectorParts,
  QueryExpansion,
} from './multi-vector-types.ts';
import { readMultiVectorFolder } from './read-multi-vector-folder.ts';

/** Options of {@link loadMultiVectorEmbedder}. */
export type LoadMultiVectorEmbedderOptions = Pick<
  LoadEmbedderOptions,
  'backend' | 'tokenizer' | 'selfCheck' | 'signal' | 'onReceipt' | 'onWarning'
> & {
  /**
   * The most tokens of a query, special tokens included; also the length to which queries are expanded.
   * @default the model's own lengths
   */
  readonly queryLength?: number | undefined;
  /**
   * The most tokens of a document, special tokens included.
   * @default the model's own limit
   */
  readonly documentLength?: number | undefined;
};

/** Names of the options of {@link loadMultiVectorEmbedder}, for callers that separate them from their own options. */
export const loadMultiVectorOptionNames: OptionNames<LoadMultiVectorEmbedderOptions> = {
  backend: loadOptionNames.backend,
  tokenizer: true,
  selfCheck: true,
  signal: true,
  onReceipt: true,
  onWarning: true,
  queryLength: true,
  documentLength: true,
};

/**
 * Loads a late-interaction model (ColBERT) in the format of sentence-transformers 6 (`MultiVectorEncoder`), of PyLate,
 * or of Stanford's ColBERT. It gives a vector for each token; {@link maxSimilarity} compares them.
 * @throws SentvecError as {@link loadEmbedder}; `unsupported-model` for models of other kinds, which the message names
 */
export async function loadMultiVectorEmbedder(
  model: ModelFiles,
  options: LoadMultiVectorEmbedderOptions = {},
): Promise<MultiVectorEmbedder> {
  checkOptionNames('loadMultiVectorEmbedder()', options, loadMultiVectorOptionNames);
  const { queryLength, documentLength, ...others } = options;
  for (const [name, length] of Object.entries({ queryLength, documentLength }))
    if (length !== undefined) checkCount(length, name);
  const { folder, definition, parts } = await loadModelParts(model, others, (files) => readMultiVectorFolder(files));
  try {
    const { maxPositions } = parts.encoder;
    return createMultiVectorEmbedder({
      ...parts,
      ...lateReading(folder, definition, { maxPositions, queryLength, documentLength }),
      tokenPooling: folder.tokenPooling,
      similarity: folder.similarity,
    });
  } catch (error) {
    await Promise.all([parts.tokenizer.dispose(), parts.encoder.dispose()]);
    throw error;
  }
}

/**
 * Determines how a late-interaction model reads queries and documents, from its folder and the options.
 * @param options.queryLength, documentLength as of {@link LoadMultiVectorEmbedderOptions}
 * @throws SentvecError `invalid-model`, `invalid-argument` for lengths that exceed the encoder's positions or leave no
 * room for a text
 */
export function lateReading(
  folder: MultiVectorFolder,
  definition: TokenizerDefinition,
  options: Pick<LoadMultiVectorEmbedderOptions, 'queryLength' | 'documentLength'> & Pick<Encoder, 'maxPositions'>,
): LateReading & { readonly lengths: Readonly<Record<TextRole, number>> } {
  const { queryLength, documentLength, maxPositions } = options;
  const expansion = folder.expansion && {
    ...folder.expansion,
    length: queryLength ?? folder.expansion.length,
    id: expansionId(folder, definition),
  };
  const wanted = { query: queryLength, document: documentLength };
  return {
    lengths: lengthsOf(folder, definition, maxPositions, expansion, wanted),
    expansion,
    skippedIds: { query: skipped(folder, definition, 'query'), document: skipped(folder, definition, 'document') },
    onlyIds: folder.mask.onlyIds && new Set(folder.mask.onlyIds),
  };
}

/**
 * Ids of the tokens that are skipped. A word that is not a single token of the vocabulary cannot occur as a token, so
 * it is ignored.
 */
function skipped({ mask }: MultiVectorFolder, { json }: TokenizerDefinition, role: TextRole): ReadonlySet<number> {
  if (!mask.roles.includes(role)) return new Set();
  return new Set(mask.words.flatMap((word) => tokenId(json, word) ?? []));
}

function expansionId({ encoderFiles, expansion }: MultiVectorFolder, definition: TokenizerDefinition): number {
  const token = expansion?.token;
  const id = token === undefined ? definition.expansionId : tokenId(definition.json, token);
  if (id !== undefined) return id;
  const message = `${encoderFiles.name} expands queries with ${token === undefined ? 'the mask token' : `"${token}"`}, which its tokenizer does not have.`;
  throw new SentvecError('invalid-model', message, { file: 'tokenizer.json' });
}

function lengthsOf(
  { lengths, encoderFiles }: MultiVectorFolder,
  { specialTokens: { prefix, suffix } }: TokenizerDefinition,
  maxPositions: number,
  expansion: MultiVectorParts['expansion'],
  wanted: Readonly<Record<TextRole, number | undefined>>,
): Readonly<Record<TextRole, number>> {
  const chosen = { query: Infinity, document: Infinity };
  for (const role of ['query', 'document'] as const) {
    const length = wanted[role] ?? Math.min(lengths[role] ?? Infinity, maxPositions);
    chosen[role] = role === 'document' || expansion === undefined ? length : expandedLength(length, expansion);
    const code = wanted[role] === undefined ? 'invalid-model' : 'invalid-argument';
    const specialTokenCount = prefix.length + suffix.length;
    if (chosen[role] <= specialTokenCount)
      throw new SentvecError(
        code,
        `A ${role} would have ${chosen[role]} tokens, and the special tokens of ${encoderFiles.name} take ${specialTokenCount}: there is no room for a text.`,
      );
    if (chosen[role] <= maxPositions) continue;
    throw new SentvecError(
      code,
      `A ${role} would have ${chosen[role]} tokens, but the encoder of ${encoderFiles.name} has positions for ${maxPositions}.`,
    );
  }
  return chosen;
}

function expandedLength(length: number, expansion: QueryExpansion): number {
  return expansion.strategy === 'fixed' ? expansion.length : Math.max(length, expansion.length);
}
